/**
 * Composes an engine: vault, identity, operations, service. What may be trusted comes in as parameters.
 *
 * The engine is the only process that holds secrets. It keeps no state that cannot be rebuilt from its vault.
 */
import { charterDigest } from '../attestation/governance/index.ts';
import { toHex } from '../common/bytes.ts';
import { KmsError } from '../common/errors.ts';
import { packageVersion } from '../common/package-version.ts';
import { systemRandom } from '../common/random.ts';
import * as native from '../native/engine/index.ts';
import { formatAddress } from '../wire/addresses.ts';
import { ENGINE_METHOD } from '../wire/frames.ts';
import { attachBackup } from './backup/attached-backup.ts';
import { backupCalls } from './backup/backup-calls.ts';
import { startBackup } from './backup/running-backup.ts';
import { openCustodians } from './custodians/open-custodians.ts';
import type { EngineOptions } from './engine-options.ts';
import { openGovernance } from './governance/open-governance.ts';
import { identityObjects } from './identity/identity-objects.ts';
import { loadOrGenerateIdentity } from './identity/node-identity.ts';
import { bindCharter } from './mesh/bind-charter.ts';
import { openEngineMesh } from './mesh/engine-mesh.ts';
import { openCentralized } from './node/open-centralized.ts';
import { openThreshold } from './node/open-threshold.ts';
import { openRecovery } from './recovery/open-recovery.ts';
import { serveEngine } from './service/engine-service.ts';
import { engineHandlers } from './service/handlers.ts';
import { type BudgetLimits, WorkBudget } from './service/work-budget.ts';
import { AnswerSigner } from './sign/answer-signer.ts';
import { PeerMemory } from './start/peer-memory.ts';
import type { Recall } from './vault/remembered-vault.ts';
import { rewrapCall } from './vault/rewrap-vault.ts';

/** A running engine. */
export interface Engine {
  /** For the line that says that it is ready; nothing secret. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
  /** Resolves with the reason if it cannot go on: another engine of its party has taken over. */
  readonly failed: Promise<KmsError>;
  /** Stops serving, waits at most `graceMs` for calls in flight, and wipes all keys. */
  close(graceMs: number): Promise<void>;
}

/** Room for 256 large requests or thousands of ordinary ones. */
const DEFAULT_LIMITS: BudgetLimits = { calls: 4_096, bytes: 256 * 1024 * 1024 };

/**
 * Starts an engine and resolves when it serves.
 *
 * The order is that of design §3: the charter is bound and all registers are locked before anything secret is read;
 * the incarnation is advanced before anyone is served.
 *
 * @throws KmsError `STATE_INVALID` naming the private object that cannot be used, or what attester and transport throw.
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  native.useBatchScheduling();
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
  const { clock, log, policy, developerMode, attestation, threshold } = options;
  const { nsm, anchor, charter, localGovernance } = attestation;
  const document = await bindCharter(nsm, charter, { anchor, clock });
  opened.push(() => nsm.close());

  const lost = Promise.withResolvers<KmsError>();
  const { party } = charter;
  const { record, releases } = attestation;
  const opening = { native, nsm, document, charter, record, releases, onLost: lost.resolve, clock, log };
  const attached = options.openBackup && attachBackup(options.openBackup, opening);
  opened.push(() => attached?.close());
  const { keptHead } = options;
  const recall: Recall = async (key) => [
    ...((await attached?.recall(key)) ?? []),
    ...(keptHead ? [{ by: 'its Core', point: keptHead, incarnation: 0 }] : []),
  ];
  // A party's starts are confirmed by others: how far they were, its vault has to know.
  const memoryAtStart = threshold && PeerMemory.atStart;
  const found = await options.openVault({ ...opening, recall, memoryAtStart });
  opened.push(() => found.close());
  if ('lost' in found) {
    const backup = await attached?.open();
    if (backup) return await openRecovery({ options, document, lost: found.lost, backup, opened, closeAll });
    const gone = 'the private vault is gone, and there is no backup vault to restore it from';
    throw found.lost.putBack?.why ?? new KmsError('STATE_INVALID', gone);
  }
  const { vault, key, incarnation: count, sealed } = found;
  if (key) opened.push(() => key.dispose());
  const identity = await loadOrGenerateIdentity({ native, vault, clock, random: systemRandom, party, key });
  if (!key) opened.push(() => identity.key.dispose());
  const { address } = identity.key;
  const enrolled = {
    ...{ charter, record, releases, localGovernance },
    enrolment: threshold ?? options.enrolment,
    isParty: threshold !== undefined,
  };
  // A party of a quorum changes nothing in a sealed vault before the others have confirmed its start.
  const holdWrites = threshold !== undefined && sealed !== undefined;
  const governance = await openGovernance({ ...enrolled, vault, address, holdWrites, clock, log });
  opened.push(() => governance.close());
  const incarnation = await count();
  const self = { key: identity.key, governance, incarnation, vault: sealed };
  const mesh = await openEngineMesh({ nsm, anchor, document, ...self, clock, log });
  opened.push(() => mesh.endpoint.close());

  const following = { vault, key: identity.key, incarnation, native, clock, log };
  const backup =
    attached &&
    sealed &&
    (await startBackup({ ...following, sealed, opened: await attached.open(), comparison: attached.comparison }));
  opened.push(() => backup?.close());
  const custody = { backup, vault, key: identity.key, governance, attester: nsm, charter };
  const custodians = await openCustodians({ ...custody, clock, log });
  const signer = new AnswerSigner(identity.key, native.keccak256);
  const parts = { vault, sealed, incarnation, identity, signer, governance, mesh };
  const work = await (threshold
    ? openThreshold(options, threshold, parts, opened)
    : openCentralized(options, parts, opened));
  const budget = new WorkBudget(options.limits ?? DEFAULT_LIMITS);
  const published = identityObjects(identity);
  const handlers = engineHandlers({
    work,
    vault: {
      [ENGINE_METHOD.rewrapVault]: rewrapCall(sealed, log),
      ...backupCalls(backup, developerMode),
      ...custodians.operations,
    },
    backup,
    policyName: policy.name,
    nodeKey: identity.key,
    governance: { governance, incarnation, head: sealed?.head },
    attest: {
      attester: nsm,
      facts: () => ({
        network: charter.network,
        charterDigest: charterDigest(charter),
        party,
        address,
        release: mesh.release(),
        incarnation,
      }),
    },
    peers: mesh.peers,
    meshHealth: () => mesh.endpoint.health(),
    get identity() {
      return [...published, ...custodians.objects()];
    },
    version: packageVersion(),
    developerMode,
    budget,
    clock,
  });
  const service = await serveEngine(options.listener(mesh), { handlers, budget, developerMode, clock, log });
  return {
    facts: {
      developerMode,
      keychain: vault.keychainName,
      backup: backup ? (backup.opened.key?.keychain ?? 'custodians') : 'none',
      authorizationPolicy: policy.name,
      address: formatAddress(address),
      network: charter.network,
      party,
      charter: toHex(charterDigest(charter)),
      release: mesh.release(),
      incarnation,
      ...work.facts(),
    },
    failed: lost.promise,
    close: async (graceMs) => {
      await service.close(graceMs);
      await closeAll();
    },
  };
}
