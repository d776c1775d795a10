/** A node with custodians, in memory: three people with their words, a backup that keeps what is sealed, governance that may refuse. */
import { createHash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { systemClock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import { systemRandom } from '../../../common/random.ts';
import { answerRequest } from '../../../custodian/answer.ts';
import { type CustodianKeys, deriveCustodianKeys } from '../../../custodian/custodian-keys.ts';
import type { CustodianBackup } from '../../../enclave/custodians/custodian-backup.ts';
import { CustodianOffice, type OfficeDeps } from '../../../enclave/custodians/custodian-office.ts';
import { type BackupKey, custodianKeyring } from '../../../enclave/keychain/custodians.ts';
import type { DataKeyBinding, WrappedDataKey } from '../../../enclave/keychain/data-keys.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import {
  CustodianRecoveryRequestSchema,
  DestroyCustodianContextRequestSchema,
  NewCustodianContextRequestSchema,
  PkeSchemeType,
  type RecoveryRequest,
  SigningSchemeType,
} from '../../../proto/gen/kms_pb.js';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import type { RecoveryRequest as WireRequest } from '../../../wire/custodian/recovery-request.ts';
import { encodeSetupPayload } from '../../../wire/custodian/setup-message.ts';
import { parseEncKey } from '../../../wire/enc-key.ts';
import { parseRequestId, type RequestId } from '../../../wire/ids.ts';

export const CHARTER: Uint8Array = new Uint8Array(48).fill(3);
export const PARTY = 2;
export const MPC_CONTEXT: RequestId = parseRequestId('07'.padEnd(63, '0').concat('1'));
export const idOf = (n: number): RequestId => parseRequestId(n.toString(16).padStart(64, '0'));

/** Returns custodians by their words' entropy: equal numbers, equal keys. */
export const custodianKeys = (count = 3, seed = 'words'): readonly CustodianKeys[] =>
  Array.from({ length: count }, (_, index) =>
    deriveCustodianKeys(createHash('sha256').update(`${seed} ${index}`).digest()),
  );

/** What a request may have otherwise. */
export interface RequestChange {
  readonly keys?: readonly CustodianKeys[];
  readonly threshold?: number;
  readonly ageMs?: number;
  readonly payload?: (payload: Uint8Array, index: number) => Uint8Array;
}

/** Encodes a NewCustodianContext request. */
export function newContextBody(id: RequestId, change: RequestChange = {}): Uint8Array {
  const { keys = custodianKeys(), threshold = 1, ageMs = 0, payload = (bytes) => bytes } = change;
  const seconds = Math.floor((Date.now() - ageMs) / 1_000);
  const custodianNodes = keys.map(({ ek, signer }, index) => {
    const setup = { randomValue: systemRandom(32), timestamp: { seconds, nanos: 0 }, ek };
    const encoded = encodeSetupPayload({ ...setup, verificationKey: signer.publicKey });
    return { custodianRole: BigInt(index + 1), name: `custodian ${index + 1}`, payload: payload(encoded, index) };
  });
  const newCustodianContext = { custodianNodes, custodianContextId: { requestId: id }, threshold };
  const mpcContextId = { requestId: MPC_CONTEXT };
  const request = create(NewCustodianContextRequestSchema, { newCustodianContext, mpcContextId });
  return toBinary(NewCustodianContextRequestSchema, request);
}

/** Encodes a DestroyCustodianContext request. */
export function destroyBody(id: RequestId): Uint8Array {
  const request = create(DestroyCustodianContextRequestSchema, { contextId: { requestId: id } });
  return toBinary(DestroyCustodianContextRequestSchema, request);
}

/** Has custodians answer a request, by their numbers, and encodes what the operator sends back. */
export function recoveryBody(
  id: RequestId,
  request: RecoveryRequest,
  roles: readonly number[],
  keys: readonly CustodianKeys[] = custodianKeys(),
): Uint8Array {
  const asked = wireRequest(request);
  const custodianRecoveryOutputs = roles.map((role) => {
    const own = keys[role - 1];
    if (own === undefined) throw new Error('no such custodian');
    const { signcryption } = answerRequest(own, role, asked, undefined, systemRandom);
    const schemes = { pkeType: PkeSchemeType.MLKEM512, signingType: SigningSchemeType.ECDSA256K1 };
    return { custodianRole: BigInt(role), backupOutput: { signcryption, ...schemes } };
  });
  const fields = { custodianContextId: { requestId: id }, custodianRecoveryOutputs };
  return toBinary(CustodianRecoveryRequestSchema, create(CustodianRecoveryRequestSchema, fields));
}

/** Returns the published request in the form of the custodian's tool. */
export function wireRequest({ ephemOpEncKey, operatorVerfKey, cts }: RecoveryRequest): WireRequest {
  const ciphertexts = new Map(Object.entries(cts).map(([role, { signcryption }]) => [Number(role), signcryption]));
  return { ephemeralKey: parseEncKey(ephemOpEncKey), operatorKey: operatorVerfKey.subarray(8), ciphertexts };
}

/** A backup vault that keeps one sealed key for each context, and can be made to fail. */
export interface FakeBackup extends CustodianBackup {
  readonly storage: ReturnType<typeof openMemoryStorage>;
  readonly sealed: Map<RequestId, WrappedDataKey>;
  readonly opened: Uint8Array[];
  current: BackupKey | undefined;
  failure: KmsError | undefined;
}

const BINDING: DataKeyBinding = {
  purpose: 'backup-object',
  charterDigest: CHARTER,
  party: PARTY,
  contextId: undefined,
  epochId: undefined,
  object: 'SigningKey/1',
};

export function fakeBackup(storage: ReturnType<typeof openMemoryStorage> = openMemoryStorage()): FakeBackup {
  const fail = (): void => {
    if (backup.failure) throw backup.failure;
  };
  const backup: FakeBackup = {
    storage,
    sealed: new Map(),
    opened: [],
    current: undefined,
    failure: undefined,
    use: (key) => {
      backup.current = key;
    },
    settled: async () => {
      fail();
      const { current } = backup;
      if (current === undefined) return;
      backup.sealed.set(current.contextId, (await custodianKeyring(() => current).generate(BINDING)).wrapped);
    },
    forget: async (contextId) => {
      fail();
      backup.sealed.delete(contextId);
    },
    restore: async (contextId, keyring) => {
      fail();
      const wrapped = backup.sealed.get(contextId);
      if (wrapped === undefined) throw new KmsError('NOT_FOUND', 'there is no backup under this key');
      backup.opened.push(await keyring.unwrap(wrapped, BINDING));
      return { restored: 5, kept: 0 };
    },
  };
  return backup;
}

/** A node and its custodian office. */
export interface Scene {
  readonly key: NodeKey;
  readonly vault: PrivateVault;
  readonly backup: FakeBackup;
  readonly office: CustodianOffice;
  /** Digests that governance was asked for, in hexadecimal digits. */
  readonly asked: string[];
  /** Starts the node again. */
  reopen(change?: Partial<OfficeDeps>): Promise<CustodianOffice>;
}

/** Opens a node without custodians yet. */
export async function openScene({ approves = true }: { readonly approves?: boolean } = {}): Promise<Scene> {
  const key = NodeKey.generate();
  const vault = new PrivateVault(clearKeeper(openMemoryStorage()));
  const backup = fakeBackup();
  const asked: string[] = [];
  const deps: OfficeDeps = {
    vault,
    key,
    governance: {
      requireApproval: async (kind, digest) => {
        asked.push(`${kind} ${Buffer.from(digest).toString('hex')}`);
        if (!approves) throw new KmsError('APPROVAL_MISSING', 'governance has to sign', {});
      },
    },
    backup,
    charterDigest: CHARTER,
    party: PARTY,
    random: systemRandom,
    clock: systemClock,
    log: createLogger({ name: 'test', level: 'silent' }),
  };
  const reopen = (change: Partial<OfficeDeps> = {}) => CustodianOffice.open({ ...deps, ...change });
  return { key, vault, backup, office: await reopen(), asked, reopen };
}
