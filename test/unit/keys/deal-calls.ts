/** Calls that ask an engine for keys and reference strings of developer mode. */
import { create, toBinary } from '@bufbuild/protobuf';
import { CrsGenCallSchema } from '../../../proto/gen/engine_pb.js';
import { CrsGenRequestSchema, FheParameter, type KeyGenRequestSchema } from '../../../proto/gen/kms_pb.js';
import { D0, type Fields, idOf } from '../../helpers/requests.ts';
import { keyGenCall } from '../../helpers/test-engine.ts';

/** Encodes an insecure KEYGEN call with test parameters. */
export const dealCall = (overrides: Fields<typeof KeyGenRequestSchema> = {}, insecure = true): Uint8Array =>
  keyGenCall(overrides, { insecure });

/** Encodes an insecure CRSGEN call with test parameters. */
export function dealCrsCall(overrides: Fields<typeof CrsGenRequestSchema> = {}, insecure = true): Uint8Array {
  const request = create(CrsGenRequestSchema, {
    requestId: { requestId: idOf(3) },
    params: FheParameter.test,
    maxNumBits: 64,
    domain: D0,
    ...overrides,
  });
  const message = create(CrsGenCallSchema, { request: toBinary(CrsGenRequestSchema, request), insecure });
  return toBinary(CrsGenCallSchema, message);
}
