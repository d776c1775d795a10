/**
 * Composes an engine: vault, identity, operations, service. What may be trusted comes in as parameters.
 *
 * The engine is the only process that holds secrets. It keeps no state that cannot be rebuilt from its vault.
 */
import type { Nsm } from '../attestation/attester/attester.ts';
import type { TrustAnchor } from '../attestation/document/index.ts';
import { type Charter, charterDigest, encodeSigned } from '../attestation/governance/index.ts';
import { toHex } from '../common/bytes.ts';
import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/log.ts';
import { packageVersion } from '../common/package-version.ts';
import { systemRandom } from '../common/random.ts';
import * as native from '../native/engine/index.ts';
import type { Storage } from '../storage/storage.ts';
import { formatAddress } from '../wire/addresses.ts';
import type { AuthorizationPolicy } from './authorization.ts';
import { GenerationQueue } from './fhe/generation-queue.ts';
import { Durations } from './fhe/progress.ts';
import { enrol, type LocalGovernance } from './governance/enrol.ts';
import { type GovernanceMemory, offerFiles, openGovernanceMemory } from './governance/governance-memory.ts';
import { identityObjects } from './identity/identity-objects.ts';
import { loadOrGenerateIdentity, type NodeIdentity } from './identity/node-identity.ts';
import { bindCharter } from './mesh/bind-charter.ts';
import { type EngineMesh, openEngineMesh } from './mesh/engine-mesh.ts';
import type { EngineListener } from './service/engine-listener.ts';
import { serveEngine } from './service/engine-service.ts';
import { engineHandlers } from './service/handlers.ts';
import { type BudgetLimits, WorkBudget } from './service/work-budget.ts';
import { AnswerSigner } from './sign/answer-signer.ts';
import { Catalogue } from './vault/catalogue.ts';
import { advanceIncarnation } from './vault/incarnation.ts';
import type { Keychain } from './vault/keychain.ts';
import { PrivateVault } from './vault/private-vault.ts';

/** What an engine is made of. */
export interface EngineOptions {
  /** Told to callers, whose own mode must be the same. */
  readonly developerMode: boolean;
  /** Whether calls marked insecure are served. */
  readonly insecureOperations: boolean;
  /** Whether test parameters, which protect nothing, may be used. */
  readonly testParameters: boolean;
  readonly keychain: Keychain;
  readonly policy: AuthorizationPolicy;
  /** The private vault's back end. */
  readonly storage: Storage;
  /** Where cores reach the engine, given its side of the mesh: `meshListener` in every program. */
  readonly listener: (mesh: EngineMesh) => EngineListener;
  readonly attestation: EngineAttestation;
  readonly treatV0ExtraDataAsEmpty: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Bounds on work in flight; tests set small ones. */
  readonly limits?: BudgetLimits;
}

/** What an engine is attested under. */
export interface EngineAttestation {
  /** Fresh as after boot: PCR16 zero, nothing locked above the platform's own registers. */
  readonly nsm: Nsm;
  /** The one root of this program. */
  readonly anchor: TrustAnchor;
  readonly charter: Charter;
  /** Governed record and release set with their signatures, as the node's files hold them. */
  readonly record: Uint8Array | undefined;
  readonly releases: Uint8Array | undefined;
  /** Governance that approves by itself; developer mode alone has it. */
  readonly localGovernance?: LocalGovernance | undefined;
}

/** A running engine. */
export interface Engine {
  /** For the line that says that it is ready; nothing secret. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
  /** Stops serving, waits at most `graceMs` for calls in flight, and wipes all keys. */
  close(graceMs: number): Promise<void>;
}

/** Room for 256 large requests or thousands of ordinary ones. */
const DEFAULT_LIMITS: BudgetLimits = { calls: 4_096, bytes: 256 * 1024 * 1024 };

/** Milliseconds on a 2-core machine; each process learns its own. */
const FIRST_DURATIONS = {
  'keygen default compressed': 54_000,
  'keygen default uncompressed': 75_000,
  'keygen test compressed': 500,
  'keygen test uncompressed': 700,
  'decompression key default': 5_000,
  'crsgen default 2048': 8_500,
  'crsgen test 2048': 2_000,
};

/**
 * Starts an engine and resolves when it serves.
 *
 * The order is that of design §3: the charter is bound and all registers are locked before anything secret is read;
 * the incarnation is advanced before anyone is served.
 *
 * @throws KmsError `STATE_INVALID` naming the private object that cannot be used, or what attester and transport throw.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const opened: (() => Promise<void> | void)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of opened.splice(0).reverse()) await close();
  };
  try {
    return await open(options, opened, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function open(
  options: EngineOptions,
  opened: (() => Promise<void> | void)[],
  closeAll: () => Promise<void>,
): Promise<Engine> {
  const { clock, log, policy, developerMode, attestation } = options;
  const { nsm, anchor, charter } = attestation;
  const document = await bindCharter(nsm, charter, { anchor, clock });
  opened.push(() => nsm.close());

  const vault = new PrivateVault(options.storage, options.keychain);
  const identity = await loadOrGenerateIdentity({ native, vault, clock, random: systemRandom });
  opened.push(() => identity.key.dispose());
  const governance = await openGovernance(options, vault, identity.key.address);
  opened.push(() => governance.close());
  const incarnation = await advanceIncarnation(vault);
  const mesh = await openEngineMesh({
    ...attestation,
    document,
    key: identity.key,
    governance,
    incarnation,
    clock,
    log,
  });
  opened.push(() => mesh.endpoint.close());
  const keyReader = { fromBytes: native.FheKey.fromBytes, developerKeys: developerMode };
  const catalogue = await Catalogue.load(vault, keyReader);
  opened.push(() => catalogue.dispose());

  const budget = new WorkBudget(options.limits ?? DEFAULT_LIMITS);
  const queue = new GenerationQueue({ clock, log });
  const parts = { identity, catalogue, queue, governance, mesh, incarnation };
  const handlers = engineHandlers({ ...operationDeps(options, parts), budget });
  const listener = options.listener(mesh);
  const service = await serveEngine(listener, { handlers, budget, developerMode, clock, log });
  return {
    facts: {
      developerMode,
      keychain: vault.keychainName,
      authorizationPolicy: policy.name,
      address: formatAddress(identity.key.address),
      network: charter.network,
      party: charter.party,
      charter: toHex(charterDigest(charter)),
      release: mesh.release(),
      incarnation,
      keys: catalogue.keys().length,
      crs: catalogue.crs().length,
    },
    close: async (graceMs) => {
      await service.close(graceMs);
      await closeAll();
    },
  };
}

/** Opens the vault's memory of governance, adds what the node's files hold, and enrols the node in developer mode. */
async function openGovernance(
  { attestation, clock, log }: EngineOptions,
  vault: PrivateVault,
  address: Uint8Array,
): Promise<GovernanceMemory> {
  const { charter, record, releases, localGovernance: local } = attestation;
  const memory = await openGovernanceMemory({ vault, charter, localKey: local?.key, clock, log });
  const isNewVault = memory.book.versions.record === 0;
  const files = [
    ...(record ? [{ kind: 'record' as const, content: record }] : []),
    ...(releases ? [{ kind: 'release-set' as const, content: releases }] : []),
  ];
  try {
    await offerFiles(memory, files, log);
    if (local) {
      await enrol(memory, address, { local, isNewVault, log });
      keepReleases(memory, local, log);
    }
    return memory;
  } catch (error) {
    await memory.close();
    throw error;
  }
}

/** Keeps the release set in the node's files, from which the next start of developer mode makes a newer one. */
function keepReleases({ book }: GovernanceMemory, local: LocalGovernance, log: Logger): void {
  let kept = book.versions.releases;
  book.onChange(() => {
    if (!book.releases || book.versions.releases === kept) return;
    kept = book.versions.releases;
    local.keep('release-set', encodeSigned(book.releases)).catch((err: unknown) => {
      log.warn({ event: 'governance.not-written', err });
    });
  });
}

interface Parts {
  readonly identity: NodeIdentity;
  readonly catalogue: Catalogue;
  readonly queue: GenerationQueue;
  readonly governance: GovernanceMemory;
  readonly mesh: EngineMesh;
  readonly incarnation: number;
}

function operationDeps(options: EngineOptions, parts: Parts) {
  const { identity, catalogue, queue, governance, mesh, incarnation } = parts;
  const { charter, nsm } = options.attestation;
  const { clock, policy, developerMode, insecureOperations, testParameters } = options;
  const signer = new AnswerSigner(identity.key, native.keccak256);
  const { treatV0ExtraDataAsEmpty } = options;
  return {
    decryption: { native, nodeKey: identity.key, catalogue, signer, policy, treatV0ExtraDataAsEmpty },
    generation: {
      native,
      catalogue,
      signer,
      policy,
      queue,
      durations: new Durations(FIRST_DURATIONS),
      clock,
      provenance: developerMode ? ('developer' as const) : ('whole' as const),
      insecureOperations,
      testParameters,
    },
    governance: { governance, incarnation },
    attest: {
      attester: nsm,
      facts: () => ({
        network: charter.network,
        charterDigest: charterDigest(charter),
        party: charter.party,
        address: identity.key.address,
        release: mesh.release(),
        incarnation,
      }),
    },
    peers: mesh.peers,
    meshHealth: () => mesh.endpoint.health(),
    identity: identityObjects(identity),
    version: packageVersion(),
    developerMode,
    clock,
  };
}
