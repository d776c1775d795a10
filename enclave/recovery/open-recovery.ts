/**
 * An engine whose private vault is gone, or was put back to an older state: it makes nothing anew, and serves its own Core
 * what a restore needs, and nothing else. SECRET: what is restored passes through, and the backup key with custodians.
 *
 * It has no party key, so no other party speaks to it; what governance signed, it keeps in memory only. Once the vault is
 * restored the node is started again. Design section 6.
 */

import type { VerifiedDocument } from '../../attestation/document/index.ts';
import { charterDigest } from '../../attestation/governance/index.ts';
import { KmsError } from '../../common/errors.ts';
import { packageVersion } from '../../common/package-version.ts';
import * as native from '../../native/engine/index.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { ENGINE_METHOD, type EngineMethod } from '../../wire/frames.ts';
import { restoreCall } from '../backup/backup-calls.ts';
import { ownerOf } from '../backup/object-owner.ts';
import type { OpenedBackup } from '../backup/open-backup.ts';
import { lostDesk, type RestoreDesk } from '../backup/restore-desk.ts';
import type { CallHandler } from '../call.ts';
import { custodianCalls, withoutCustodians } from '../custodians/custodian-calls.ts';
import { restoreFrom } from '../custodians/open-custodians.ts';
import { CustodianRecovery } from '../custodians/recovery.ts';
import type { Engine } from '../engine.ts';
import type { EngineOptions } from '../engine-options.ts';
import { offerFiles, openGovernanceMemory } from '../governance/governance-memory.ts';
import { CUSTODIANS } from '../keychain/custodians.ts';
import { openEngineMesh } from '../mesh/engine-mesh.ts';
import type { NodeWork } from '../node/node-work.ts';
import { serveEngine } from '../service/engine-service.ts';
import { engineHandlers } from '../service/handlers.ts';
import { WorkBudget } from '../service/work-budget.ts';
import type { LostVault } from '../vault/open-vault.ts';
import { PrivateVault } from '../vault/private-vault.ts';
import { type FoundCustodians, findCustodians } from './lost-custodians.ts';
import { markSpent } from './mark-spent.ts';
import { NO_VAULT } from './no-vault.ts';

/** What a recovering engine is opened with. */
export interface RecoveryParts {
  readonly options: EngineOptions;
  /** This engine's own document, verified at start. */
  readonly document: VerifiedDocument;
  readonly lost: LostVault['lost'];
  readonly backup: OpenedBackup;
  /** Takes what closes it again. */
  readonly opened: (() => Promise<void> | void)[];
  readonly closeAll: () => Promise<void>;
}

type Handlers = Readonly<Partial<Record<EngineMethod, CallHandler>>>;

/** Restores are few and small calls. */
const LIMITS = { calls: 64, bytes: 16 * 1024 * 1024 };
const NO_KEY = { address: new Uint8Array(20), publicKey: new Uint8Array() };

/** Opens it and resolves when it serves. @throws KmsError As the engine that serves its vault. */
export async function openRecovery(parts: RecoveryParts): Promise<Engine> {
  const { options, document, lost, backup, opened, closeAll } = parts;
  const { clock, log, policy, developerMode, attestation } = options;
  const { nsm, anchor, charter, record, releases } = attestation;
  const vault = new PrivateVault(NO_VAULT);
  const governance = await openGovernanceMemory({ vault, charter, holdWrites: true, clock, log });
  opened.push(() => governance.close());
  const files = [
    ...(record ? [{ kind: 'record' as const, content: record }] : []),
    ...(releases ? [{ kind: 'release-set' as const, content: releases }] : []),
  ];
  await offerFiles(governance, files, log);
  const mesh = await openEngineMesh({ nsm, anchor, document, key: undefined, governance, incarnation: 0, clock, log });
  opened.push(() => mesh.endpoint.close());

  const owner = { charterDigest: charterDigest(charter), party: charter.party };
  const why = lost.putBack?.why.message;
  const desk = lostDesk({ backup, lost, owner, native, log });
  const facts = { ...owner, network: charter.network, address: NO_KEY.address, incarnation: 0 };
  const budget = new WorkBudget(LIMITS);
  const handlers = engineHandlers({
    work: recoveringNode(why),
    vault: { ...custodianHandlers(parts, desk), [ENGINE_METHOD.restore]: restoreCall(desk, () => backup.key) },
    policyName: policy.name,
    nodeKey: NO_KEY,
    governance: { governance, incarnation: 0 },
    attest: { attester: nsm, facts: () => ({ ...facts, release: mesh.release() }) },
    peers: mesh.peers,
    meshHealth: () => mesh.endpoint.health(),
    identity: [],
    version: packageVersion(),
    developerMode,
    budget,
    clock,
  });
  const served = { handlers: { ...refusals(why), ...handlers }, budget, developerMode, clock, log };
  const service = await serveEngine(options.listener(mesh), served);
  log.warn({ event: 'engine.awaits-restore', party: charter.party, address: formatAddress(lost.address) });
  return {
    facts: {
      developerMode,
      awaitsRestore: true,
      ...(why !== undefined && { restoreReason: why }),
      keychain: lost.keyring.name,
      backup: backup.key?.keychain ?? CUSTODIANS,
      authorizationPolicy: policy.name,
      address: formatAddress(lost.address),
      network: charter.network,
      party: charter.party,
      release: mesh.release(),
    },
    failed: new Promise(() => undefined),
    close: async (graceMs) => {
      await service.close(graceMs);
      await closeAll();
    },
  };
}

function recoveringNode(why = ''): NodeWork {
  const material = () => ({ awaitsRestore: true, restoreReason: why });
  return { operations: {}, material, generating: () => '', facts: () => ({}) };
}

/** Published: a node without signing key answers everything else with FAILED_PRECONDITION. */
function refusals(
  message = 'this node has lost its private vault and has no signing key: restore it from a backup',
): Handlers {
  const refuse = (): never => {
    throw new KmsError('PRECONDITION_FAILED', message);
  };
  return Object.fromEntries(Object.values(ENGINE_METHOD).map((method) => [method, refuse]));
}

function custodianHandlers({ options, lost, backup }: RecoveryParts, desk: RestoreDesk): Handlers {
  if (backup.key !== undefined) return withoutCustodians(backup.key.keychain);
  const { attestation, log } = options;
  const { nsm: attester, charter } = attestation;
  let found: FoundCustodians | undefined;
  const { storage } = backup;
  const { address } = lost;
  const owner = ownerOf({ charterDigest: charterDigest(charter), party: charter.party });
  const recovery = new CustodianRecovery({
    source: async () => {
      found = await findCustodians({ storage, charter, address });
      return found;
    },
    backup: {
      restore: async (contextId, keyring) => {
        const outcome = await restoreFrom(desk, contextId, keyring, async (target) => {
          if (found) await markSpent(target, owner, found);
        });
        log.warn({ event: 'engine.restored' }, 'start the node again');
        return outcome;
      },
    },
    attester,
    network: charter.network,
    charterDigest: charterDigest(charter),
    onOpened: async () => undefined, // the restored vault says so, before it has its key
    log,
  });
  return custodianCalls({ office: undefined, recovery, attester });
}
