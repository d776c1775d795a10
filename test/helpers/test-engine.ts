/**
 * A whole engine in the test's own process, with the real native library and test parameters, behind the real mesh on
 * a Unix socket; and what a test needs to talk to it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { unixTransport } from '../../attestation/mesh/transport-unix.ts';
import { systemClock } from '../../common/clock.ts';
import { createLogger } from '../../common/log.ts';
import { operatorTrusted } from '../../enclave/authorization.ts';
import { type Engine, startEngine } from '../../enclave/engine.ts';
import type { EngineOptions } from '../../enclave/engine-options.ts';
import { meshListener } from '../../enclave/mesh/mesh-listener.ts';
import { clearKeeper } from '../../enclave/vault/clear-keychain.ts';
import { unsealedVault } from '../../enclave/vault/open-vault.ts';
import { type EvaluationKeys, loadEvaluationKeys } from '../../native/engine/public.ts';
import { CrsGenCallSchema, type EngineInfo, EngineInfoSchema, KeyGenCallSchema } from '../../proto/gen/engine_pb.js';
import {
  CrsGenRequestSchema,
  FheParameter,
  KeyGenPreprocRequestSchema,
  KeyGenRequestSchema,
  type KeyGenResult,
  KeyGenResultSchema,
} from '../../proto/gen/kms_pb.js';
import { openFileStorage } from '../../storage/file-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { EngineTestLink, type ReceivedObject, type TestCallOptions } from './engine-link.ts';
import { D0, type Fields, idOf } from './requests.ts';
import { type Teardown, tempDir } from './temp-dir.ts';
import { type TestTrust, testTrust } from './test-trust.ts';

/** A running engine and where to find it. */
export interface TestEngine {
  readonly engine: Engine;
  readonly folder: string;
  readonly socketPath: string;
  readonly storage: Storage;
  readonly trust: TestTrust;
  /** Opens an attested stream as a Core does. */
  dial(): Promise<Duplex>;
  /** Opens a link that is closed when the test ends. */
  link(hello?: Parameters<typeof EngineTestLink.open>[1]): Promise<EngineTestLink>;
  /** Stops the engine before the test ends. */
  stop(): Promise<void>;
}

/** Opens the private vault of a folder as main-dev.ts does. */
export function privateStorage(folder: string): Promise<Storage> {
  return openFileStorage({ root: join(folder, 'private'), prefix: 'PRIV', folderMode: 0o700 });
}

/** Starts an engine on a folder (a fresh one unless given) and stops it when the test ends. */
export async function testEngine(
  t: Teardown,
  {
    folder = tempDir(t),
    storage: given,
    ...overrides
  }: Partial<EngineOptions> & { folder?: string; storage?: Storage } = {},
): Promise<TestEngine> {
  const socketPath = join(folder, 'run', 'engine.sock');
  const storage = given ?? (await privateStorage(folder));
  const trust = await testTrust(folder, socketPath);
  const { nsm } = await trust.attester({ role: 'engine' });
  const engine = await startEngine({
    developerMode: true,
    insecureOperations: true,
    testParameters: true,
    openVault: unsealedVault(clearKeeper(storage)),
    policy: operatorTrusted,
    listener: (mesh) => meshListener(unixTransport(socketPath), mesh),
    attestation: {
      ...(await trust.files()),
      nsm,
      localGovernance: { key: trust.governanceKey, keep: async () => undefined },
    },
    treatV0ExtraDataAsEmpty: false,
    clock: systemClock,
    log: createLogger({ name: 'engine', level: 'silent' }),
    ...overrides,
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= engine.close(1_000);
    return stopped;
  };
  t.teardown(stop);
  let mesh: ReturnType<TestTrust['coreMesh']> | undefined;
  const dial = async () => {
    mesh ??= trust.coreMesh(t);
    return (await (await mesh).dial(AbortSignal.timeout(60_000))).stream;
  };
  const link: TestEngine['link'] = async (hello) => {
    const opened = await EngineTestLink.open(await dial(), hello);
    t.teardown(() => opened.close());
    return opened;
  };
  return { engine, folder, socketPath, storage, trust, dial, link, stop };
}

/** Encodes a KEYGEN call with test parameters; the preprocessing is the one that the request names. */
export function keyGenCall(
  overrides: Fields<typeof KeyGenRequestSchema> = {},
  { insecure = false }: { insecure?: boolean } = {},
): Uint8Array {
  const preproc = create(KeyGenPreprocRequestSchema, {
    requestId: { requestId: idOf(900) },
    params: FheParameter.test,
    domain: D0,
  });
  const request = create(KeyGenRequestSchema, {
    requestId: { requestId: idOf(2) },
    preprocId: { requestId: idOf(900) },
    domain: D0,
    ...overrides,
  });
  return toBinary(
    KeyGenCallSchema,
    create(KeyGenCallSchema, {
      request: toBinary(KeyGenRequestSchema, request),
      preprocRequest: toBinary(KeyGenPreprocRequestSchema, preproc),
      insecure,
    }),
  );
}

/** Encodes a CRSGEN call with test parameters. */
export function crsGenCall(overrides: Fields<typeof CrsGenRequestSchema> = {}): Uint8Array {
  const request = create(CrsGenRequestSchema, {
    requestId: { requestId: idOf(3) },
    params: FheParameter.test,
    maxNumBits: 64,
    domain: D0,
    ...overrides,
  });
  return toBinary(
    CrsGenCallSchema,
    create(CrsGenCallSchema, { request: toBinary(CrsGenRequestSchema, request), insecure: false }),
  );
}

/** A key that an engine made, and what to encrypt under it with. */
export interface MadeKey {
  readonly keyId: string;
  readonly result: KeyGenResult;
  readonly objects: readonly ReceivedObject[];
  readonly evaluation: EvaluationKeys;
}

/** Generates a key over a link and loads its public objects for encryption. */
export async function makeKey(
  t: Teardown,
  link: EngineTestLink,
  overrides: Fields<typeof KeyGenRequestSchema> = {},
  options: TestCallOptions = {},
): Promise<MadeKey> {
  const before = link.objects.length;
  const result = fromBinary(KeyGenResultSchema, await link.call(ENGINE_METHOD.keyGen, keyGenCall(overrides), options));
  const keyId = result.requestId?.requestId ?? '';
  const objects = link.objects.slice(before).filter(({ id }) => id === keyId);
  const evaluation = await loadObjects(t, objects);
  return { keyId, result, objects, evaluation };
}

/** Loads the evaluation keys of received objects; they are disposed of when the test ends. */
export async function loadObjects(t: Teardown, objects: readonly ReceivedObject[]): Promise<EvaluationKeys> {
  const folder = tempDir(t);
  for (const { type, bytes } of objects) writeFileSync(join(folder, type), bytes);
  const compressed = objects.some(({ type }) => type === 'CompressedXofKeySet');
  const evaluation = await loadEvaluationKeys(
    compressed
      ? { compressedXofKeySetPath: join(folder, 'CompressedXofKeySet') }
      : { serverKeyPath: join(folder, 'ServerKey'), publicKeyPath: join(folder, 'PublicKey') },
  );
  t.teardown(() => evaluation.dispose());
  return evaluation;
}

/** Asks the engine to describe itself. */
export async function describe(link: EngineTestLink): Promise<EngineInfo> {
  return fromBinary(EngineInfoSchema, await link.call(ENGINE_METHOD.describe));
}
