/**
 * The link's calls about custodians. The engine parses each request itself; nothing in the answers is secret. Spec:
 * kms-service 1.6, 7.4.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { Attester } from '../../attestation/attester/attester.ts';
import { KmsError } from '../../common/errors.ts';
import {
  CustodianContextsSchema,
  CustodianRecoverySchema,
  RecoveryDocumentCallSchema,
  RecoveryDocumentSchema,
} from '../../proto/gen/engine_pb.js';
import {
  CustodianRecoveryInitRequestSchema,
  CustodianRecoveryRequestSchema,
  DestroyCustodianContextRequestSchema,
  NewCustodianContextRequestSchema,
  OperatorPublicKeySchema,
  RecoveryRequestSchema,
} from '../../proto/gen/kms_pb.js';
import { encodeEncKey } from '../../wire/enc-key.ts';
import { ENGINE_METHOD, type EngineMethod } from '../../wire/frames.ts';
import {
  parseCustodianBackupRecovery,
  parseDestroyCustodianContext,
  parseNewCustodianContext,
} from '../../wire/validate/custodian.ts';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import type { CustodianOffice } from './custodian-office.ts';
import type { CustodianRecovery } from './recovery.ts';

/** What the calls need. */
export interface CustodianCallDeps {
  /** Of a running node; one that waits to be restored has none. */
  readonly office: CustodianOffice | undefined;
  readonly recovery: CustodianRecovery;
  readonly attester: Attester;
}

type Handlers = Readonly<Partial<Record<EngineMethod, CallHandler>>>;

const NOTHING = new Uint8Array();

/** Returns the handlers, by method number. */
export function custodianCalls({ office, recovery, attester }: CustodianCallDeps): Handlers {
  return {
    ...(office && officeCalls(office, attester)),
    [ENGINE_METHOD.recoveryInit]: async ({ body }) => {
      const { overwriteEphemeralKey } = decodeRequest(CustodianRecoveryInitRequestSchema, body);
      return toBinary(RecoveryRequestSchema, await recovery.begin(overwriteEphemeralKey));
    },
    [ENGINE_METHOD.recoveryDocument]: async ({ body, signal }) => {
      const { challenge } = decodeRequest(RecoveryDocumentCallSchema, body);
      return toBinary(RecoveryDocumentSchema, await recovery.document(challenge.slice(), signal));
    },
    [ENGINE_METHOD.custodianRecovery]: async ({ body }) =>
      toBinary(CustodianRecoverySchema, create(CustodianRecoverySchema, await recovery.finish(body))),
    [ENGINE_METHOD.custodianContexts]: () => {
      const contexts = (office?.contexts() ?? []).map(({ createdMs, custodians, ...context }) => ({
        ...context,
        custodians: [...custodians],
        createdMs: BigInt(createdMs),
      }));
      const state = create(CustodianContextsSchema, { contexts, recovering: recovery.contextId ?? '' });
      return toBinary(CustodianContextsSchema, state);
    },
  };
}

function officeCalls(office: CustodianOffice, attester: Attester): Handlers {
  return {
    [ENGINE_METHOD.newCustodianContext]: async ({ body }) => {
      await office.create(body.slice());
      return NOTHING;
    },
    [ENGINE_METHOD.destroyCustodianContext]: async ({ body }) => {
      await office.destroy(body.slice());
      return NOTHING;
    },
    [ENGINE_METHOD.operatorPublicKey]: async ({ signal }) => {
      const key = office.backupKey();
      if (key === undefined)
        throw new KmsError('UNAVAILABLE', 'no custodian context is in force, so there is no key yet');
      const publicKey = encodeEncKey(key.publicKey);
      // As published: the document binds this key, and says nothing else.
      const attestationDocument = await attester.attest({ publicKey }, signal);
      return toBinary(OperatorPublicKeySchema, create(OperatorPublicKeySchema, { publicKey, attestationDocument }));
    },
  };
}

/**
 * Returns the handlers of a node whose backups are not with custodians: what is asked is checked all the same, and the answer
 * says what is missing.
 *
 * @param keychain - Of its backup vault; undefined if it has none.
 */
export function withoutCustodians(keychain: string | undefined): Handlers {
  const why = keychain ? `its backup vault has the keychain ${keychain}` : 'it has no backup vault';
  const refuse = (): never => {
    throw new KmsError('PRECONDITION_FAILED', `this node has no custodians: ${why}`);
  };
  return {
    [ENGINE_METHOD.newCustodianContext]: ({ body }) => {
      parseNewCustodianContext(decodeRequest(NewCustodianContextRequestSchema, body));
      return refuse();
    },
    [ENGINE_METHOD.destroyCustodianContext]: ({ body }) => {
      const contextId = parseDestroyCustodianContext(decodeRequest(DestroyCustodianContextRequestSchema, body));
      throw new KmsError('NOT_FOUND', 'this node knows no such custodian context', { contextId });
    },
    [ENGINE_METHOD.operatorPublicKey]: () => {
      if (keychain === undefined) throw new KmsError('UNAVAILABLE', 'this node has no backup vault');
      throw new KmsError('UNIMPLEMENTED', `the backup vault has the keychain ${keychain}, not custodians`);
    },
    [ENGINE_METHOD.recoveryInit]: refuse,
    [ENGINE_METHOD.recoveryDocument]: refuse,
    [ENGINE_METHOD.custodianRecovery]: ({ body }) => {
      parseCustodianBackupRecovery(decodeRequest(CustodianRecoveryRequestSchema, body));
      throw new KmsError('PRECONDITION_FAILED', 'no recovery has been begun');
    },
    [ENGINE_METHOD.custodianContexts]: () => toBinary(CustodianContextsSchema, create(CustodianContextsSchema, {})),
  };
}
