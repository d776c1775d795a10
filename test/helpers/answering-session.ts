/**
 * A CLI session whose node is the reference node: answers decryptions with fixed plaintexts, no server needed.
 */

import type { DescMessage } from '@bufbuild/protobuf';
import { create, type MessageShape } from '@bufbuild/protobuf';
import type { Session } from '../../parent/cli/client/session.ts';
import type { KmsRequest, KmsResponse, KmsRpcName } from '../../parent/grpc/client.ts';
import { openKmsClient } from '../../parent/grpc/client.ts';
import { PublicDecryptionRequestSchema, UserDecryptionRequestSchema } from '../../proto/gen/kms_pb.js';
import { CoreServiceEndpoint } from '../../proto/gen/kms-service_pb.js';
import type { TypedPlaintextData } from '../../wire/payloads.ts';
import { parsePublicDecryption, parseUserDecryption } from '../../wire/validate/decryption.ts';
import type { ReferenceNode } from './reference-node.ts';

/** Returns a session that answers every decryption with `plaintexts`, signed by `node`. */
export function answeringSession(dir: string, node: ReferenceNode, plaintexts: readonly TypedPlaintextData[]): Session {
  const answer = (rpc: KmsRpcName, request: object): MessageShape<DescMessage> => {
    switch (rpc) {
      case 'PublicDecryptSync':
        return node.answerPublic(parsePublicDecryption(create(PublicDecryptionRequestSchema, request)), plaintexts);
      case 'UserDecryptSync': {
        const parsed = parseUserDecryption(create(UserDecryptionRequestSchema, request));
        return node.answerUser(parsed, node.userPayload(parsed, plaintexts));
      }
      default:
        throw new TypeError(`${CoreServiceEndpoint.name}.${rpc} is not answered here`);
    }
  };
  const call = async <N extends KmsRpcName>(rpc: N, request: KmsRequest<N>): Promise<KmsResponse<N>> =>
    answer(rpc, request) as KmsResponse<N>; // each case above answers with the message of its RPC
  return {
    dir,
    clientUrl: 'http://127.0.0.1:1',
    publicUrl: 'http://127.0.0.1:1/kms/PUB',
    client: openKmsClient('http://127.0.0.1:1'),
    call,
    poll: call,
  };
}
