/**
 * Whole engines with sealed vaults, as main-dev.ts composes them but for the root key: they serve once the others have
 * confirmed their starts, come back together after all were killed, and never from a vault that was put back.
 */
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { z } from 'zod';
import { decodeStrict } from '../../attestation/cbor.ts';
import { readStart } from '../../attestation/start/start-record.ts';
import { clearKeyring } from '../../enclave/seal/clear-keyring.ts';
import { peekManifest } from '../../enclave/seal/manifest.ts';
import { sealedVault } from '../../enclave/vault/sealed-vault.ts';
import { type VaultStatus, VaultStatusSchema } from '../../proto/gen/engine_pb.js';
import { openMemoryStorage } from '../../storage/memory-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { present } from '../helpers/present.ts';
import { type QuorumEngine, quorumEngines, settled } from '../helpers/quorum-engines.ts';
import type { Teardown } from '../helpers/temp-dir.ts';

/** A quorum whose vaults are sealed. */
function sealedQuorum(t: Teardown) {
  const quorum = quorumEngines(t, 4);
  const storages = new Map(quorum.parties.map((party) => [party, openMemoryStorage()]));
  const start = (party: number): Promise<QuorumEngine> =>
    quorum.start(party, {
      openVault: sealedVault({
        storage: present(storages.get(party)),
        rootKey: async () => ({ keyring: clearKeyring(), policyHash: undefined, wrapsForAnyone: false }),
        needsFence: false,
        hasBackup: false,
      }),
    });
  return { quorum, storages, start, startAll: () => Promise.all(quorum.parties.map(start)) };
}

const statusOf = async ({ link }: QuorumEngine): Promise<VaultStatus> =>
  fromBinary(VaultStatusSchema, await link.call(ENGINE_METHOD.vaultStatus));

/** Waits for the phase of an engine's start; the test's own time-out ends it. */
async function phaseIs(engine: QuorumEngine, phase: string): Promise<VaultStatus> {
  for (;;) {
    const status = await statusOf(engine);
    if (status.start?.phase === phase) return status;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until a vault holds that a start of a party was confirmed; the others write it within seconds. */
async function knowsConfirmed(storage: Storage, party: number, incarnation: bigint): Promise<void> {
  for (;;) {
    const memory = present(peekManifest(await storage.get(['Manifest', 'head']))).memory;
    const [, records] = z
      .tuple([z.number(), z.array(z.instanceof(Uint8Array))])
      .rest(z.unknown())
      .parse(decode(memory));
    const known = records.map((bytes) => readStart(bytes).start).find((start) => start.party === party);
    if (known?.base === undefined && known?.incarnation === Number(incarnation)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const decode = (memory: Uint8Array) => decodeStrict(memory, { maxBytes: 256 * 1024, maxDepth: 2, canonical: true });

/** Copies a storage. */
async function copyOf(from: Storage, folder: readonly string[] = [], into = openMemoryStorage()): Promise<Storage> {
  for (const name of await from.list(folder)) {
    const path = [...folder, name];
    if (await from.has(path)) await into.put(path, await from.get(path));
    else await copyOf(from, path, into);
  }
  return into;
}

t.test('sealed parties confirm each other, make an epoch, and come back after all were killed', async (t) => {
  const { startAll, storages } = sealedQuorum(t);
  const first = await startAll();
  await settled(first);
  const status = await phaseIs(present(first[0]), 'confirmed');
  t.ok(status.sealed);
  t.ok(status.objects >= 4n, 'key, certificate, governance, epoch');
  t.equal(status.incarnation, 1n);
  const own = readStart(present(status.start).record);
  t.equal(own.start.party, 1);
  t.match(status.start?.remembered.length, 3);
  await Promise.all(first.map((engine) => engine.stop()));

  const old = await copyOf(present(storages.get(2)));
  const again = await startAll();
  await settled(again);
  for (const engine of again) t.equal((await statusOf(engine)).incarnation, 2n);
  await Promise.all(again.map((engine) => engine.stop()));

  storages.set(2, old);
  const third = await startAll();
  const refused = await phaseIs(present(third[1]), 'rolled-back');
  t.match(refused.start?.reason, /put back: party \d remembers start 2 .* this is start 2/);
  for (const party of [1, 3, 4]) await phaseIs(present(third[party - 1]), 'confirmed');
  t.notOk((await present(third[1]).describe()).threshold?.settled, 'it is never ready');
  await Promise.all(third.map((engine) => engine.stop()));
});

t.test('a vault that was put back looks no newer for having been started while nobody could hear of it', async (t) => {
  const { start, startAll, storages } = sealedQuorum(t);
  const stopAll = (engines: readonly QuorumEngine[]) => Promise.all(engines.map((engine) => engine.stop()));
  const first = await startAll();
  await settled(first);
  await stopAll(first);
  const old = await copyOf(present(storages.get(2)));
  const second = await startAll();
  await settled(second);
  const newest = present(await phaseIs(present(second[1]), 'confirmed'));
  for (const party of [1, 3, 4]) await knowsConfirmed(present(storages.get(party)), 2, newest.incarnation);
  await stopAll(second);
  storages.set(2, old);
  for (let sequence = 0n; sequence <= newest.sequence; ) {
    const alone = await start(2);
    sequence = (await phaseIs(alone, 'waiting')).sequence;
    await alone.stop();
  }
  const third = await startAll();
  const refused = await phaseIs(present(third[1]), 'rolled-back');
  t.ok(refused.incarnation > newest.incarnation && refused.sequence > newest.sequence, 'by its numbers it is newer');
  await stopAll(third);
});

t.test('one party by itself waits, says for whom, and writes nothing but what it has to', async (t) => {
  const { start, startAll, storages } = sealedQuorum(t);
  const first = await startAll();
  await settled(first);
  await Promise.all(first.map((engine) => engine.stop()));
  const before = await present(storages.get(3)).list([]);
  const alone = await start(3);
  const status = await phaseIs(alone, 'waiting');
  t.match(status.start, { needed: 2, acknowledged: [], reason: /0 of 2 other parties/ });
  t.match((await alone.describe()).threshold, { settled: false, startReason: /not confirmed yet/ });
  for (const method of [ENGINE_METHOD.newEpoch, ENGINE_METHOD.destroyEpoch, ENGINE_METHOD.newContext]) {
    await t.rejects(alone.link.call(method), { code: 'UNAVAILABLE', message: /not confirmed yet/ }, `${method}`);
  }
  t.same(await present(storages.get(3)).list([]), before);
  await alone.stop();
});
