/**
 * Composes an engine: vault, identity, operations, service. What may be trusted comes in as parameters.
 *
 * The engine is the only process that holds secrets. It keeps no state that cannot be rebuilt from its vault.
 */
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
import { identityObjects } from './identity/identity-objects.ts';
import { loadOrGenerateIdentity, type NodeIdentity } from './identity/node-identity.ts';
import type { EngineListener } from './service/engine-listener.ts';
import { serveEngine } from './service/engine-service.ts';
import { engineHandlers } from './service/handlers.ts';
import { type BudgetLimits, WorkBudget } from './service/work-budget.ts';
import { AnswerSigner } from './sign/answer-signer.ts';
import { Catalogue } from './vault/catalogue.ts';
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
  readonly listener: EngineListener;
  readonly treatV0ExtraDataAsEmpty: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Bounds on work in flight; tests set small ones. */
  readonly limits?: BudgetLimits;
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
 * @throws KmsError `STATE_INVALID` naming the private object that cannot be used, or what the listener throws.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { clock, log, policy } = options;
  const vault = new PrivateVault(options.storage, options.keychain);
  const identity = await loadOrGenerateIdentity({ native, vault, clock, random: systemRandom });
  const keyReader = { fromBytes: native.FheKey.fromBytes, developerKeys: options.developerMode };
  const catalogue = await Catalogue.load(vault, keyReader).catch((error: unknown) => {
    identity.key.dispose();
    throw error;
  });
  const budget = new WorkBudget(options.limits ?? DEFAULT_LIMITS);
  const queue = new GenerationQueue({ clock, log });
  const handlers = engineHandlers({ ...operationDeps(options, { identity, catalogue, queue }), budget });
  const { developerMode } = options;
  const service = await serveEngine(options.listener, { handlers, budget, developerMode, clock, log });
  return {
    facts: {
      developerMode,
      keychain: vault.keychainName,
      authorizationPolicy: policy.name,
      address: formatAddress(identity.key.address),
      keys: catalogue.keys().length,
      crs: catalogue.crs().length,
    },
    close: async (graceMs) => {
      await service.close(graceMs);
      catalogue.dispose();
      identity.key.dispose();
    },
  };
}

interface Parts {
  readonly identity: NodeIdentity;
  readonly catalogue: Catalogue;
  readonly queue: GenerationQueue;
}

function operationDeps(options: EngineOptions, { identity, catalogue, queue }: Parts) {
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
    identity: identityObjects(identity),
    version: packageVersion(),
    developerMode,
    clock,
  };
}
