/** How parties of a quorum come together: late, not enrolled, killed half way, with a vault that is not theirs, lying. */
import { inspect } from 'node:util';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { systemRandom } from '../../../common/random.ts';
import { lyingMasks } from '../../../enclave/developer/lying-shares.ts';
import { clearKeychain } from '../../../enclave/vault/clear-keychain.ts';
import { EngineStatusSchema, PeerTableSchema } from '../../../proto/gen/engine_pb.js';
import { NewMpcEpochRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, idBytes, parseRequestId } from '../../../wire/ids.ts';
import { until } from '../../helpers/engine-network.ts';
import { publicDecryption } from '../../helpers/party-requests.ts';
import { present } from '../../helpers/present.ts';
import { askPublicly, dealKey, plaintextOf } from '../../helpers/quorum-decryptions.ts';
import { quorumEngines, settled } from '../../helpers/quorum-engines.ts';
import { idOf } from '../../helpers/requests.ts';
import { testEngine } from '../../helpers/test-engine.ts';

t.test('engines serve their Cores and wait for a party that comes late', async (t) => {
  const quorum = quorumEngines(t, 4);
  for (const { stop } of await quorum.startAll()) await stop();
  // Enrolled now; nobody has to have made the epoch.
  for (const storage of quorum.storages.values()) await storage.delete(['EpochData', DEFAULT_EPOCH_ID]);
  const early = await Promise.all([1, 2, 3].map((party) => quorum.start(party)));
  for (const { describe, link } of early) {
    const epochId = { requestId: idOf(5) };
    const asked = toBinary(NewMpcEpochRequestSchema, create(NewMpcEpochRequestSchema, { epochId }));
    await t.rejects(link.call(ENGINE_METHOD.newEpoch, asked), { code: 'UNAVAILABLE' }, 'one after the other');
    const { threshold } = await describe();
    t.equal(threshold?.settled, false);
    t.same(threshold?.epochs, [], 'nothing is there before all have it');
  }
  await settled([...early, await quorum.start(4)]);
  t.match(await present(early[0]).describe(), { threshold: { epochs: [{ epochId: DEFAULT_EPOCH_ID }] } });
});

t.test('a party that is killed while the epoch is made, and started again, ends up with all others', async (t) => {
  const quorum = quorumEngines(t, 4);
  let engines = await quorum.startAll();
  for (let round = 0; round < 3; round++) {
    const [victim, ...others] = engines;
    engines = [...others, await quorum.restart(present(victim))];
  }
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const ciphertext = await evaluation.encrypt(3n, 2, 2);
  const answers = await askPublicly(engines, publicDecryption(idOf(2), [{ ciphertext, fheType: 2 }]));
  t.same(answers.map(plaintextOf), [3n, 3n, 3n, 3n], 'all hold masks of one set-up');
});

t.test('a party that nobody enrols gives up and names the cure', async (t) => {
  const quorum = quorumEngines(t, 4);
  const alone = quorum.start(2, { quorum: { enrolWithinMs: 300 } });
  await t.rejects(alone, {
    code: 'STATE_INVALID',
    message: /does not name this node, party 2 with address 0x[0-9a-f]{40}: have governance sign a record/,
  });
});

t.test('what is wrong in the file of the record does not end the wait', async (t) => {
  const quorum = quorumEngines(t, 4);
  const wrong = [undefined, new Uint8Array(), Uint8Array.of(1, 2, 3)];
  const starting = quorum.start(1, { quorum: { enrolWithinMs: 1_000, readRecord: async () => wrong.pop() } });
  await t.rejects(starting, { code: 'STATE_INVALID', message: /have governance sign a record/ });
});

t.test('a record that names another address for an old vault is refused', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await Promise.all(engines.map(({ stop }) => stop()));
  const { record } = quorum;
  const parties = record.parties.map((entry) =>
    entry.party === 3 ? { ...entry, address: idBytes(parseRequestId(idOf(7))).slice(12) } : entry,
  );
  quorum.record = { ...record, version: record.version + 1, parties };
  const message = /names address 0x0{38}07 for party 3, this vault has 0x.*restore the vault/;
  await t.rejects(quorum.start(3), { code: 'STATE_INVALID', message });
});

t.test('an epoch stays with its parties when the record names more of them, or another context', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const { version, parties } = quorum.record;
  const more = [5, 6, 7].map((party) => ({ party, endpoint: `127.0.0.1:${party}` }));
  const another = idOf(0xcc);
  quorum.record = {
    ...quorum.record,
    version: version + 1,
    parties: [...parties, ...more],
    context: idBytes(parseRequestId(another)),
  };
  const again = await Promise.all(engines.map((engine) => quorum.restart(engine)));
  for (const { describe } of again) {
    const { threshold } = await describe();
    t.match(threshold?.contexts, [{ contextId: DEFAULT_CONTEXT_ID, threshold: 1 }]);
    t.equal(threshold?.contexts[0]?.nodes.length, 4);
    t.match(threshold?.epochs, [{ contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID }]);
  }
  const ciphertext = await evaluation.encrypt(8n, 2, 2);
  const answers = await askPublicly(again, publicDecryption(idOf(2), [{ ciphertext, fheType: 2 }]));
  t.same(answers.map(plaintextOf), [8n, 8n, 8n, 8n]);

  // With the same number of parties it follows the record: a party may come with another address.
  const moved = { party: 4, address: new Uint8Array(20).fill(4), endpoint: present(parties[3]?.endpoint) };
  quorum.record = { ...quorum.record, version: version + 2, parties: [...parties.slice(0, 3), moved] };
  quorum.record = { ...quorum.record, context: idBytes(DEFAULT_CONTEXT_ID) };
  const one = await quorum.restart(present(again[0]));
  const nodes = (await one.describe()).threshold?.contexts[0]?.nodes;
  t.same(nodes?.[3]?.address, new Uint8Array(20).fill(4));
  t.match((await one.describe()).threshold?.epochs, [{ epochId: DEFAULT_EPOCH_ID }]);
});

t.test('a record that names no quorum stops the engine and says all that is wrong', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  await Promise.all(engines.map(({ stop }) => stop()));
  const { record } = quorum;
  const parties = [...record.parties, { party: 9, address: new Uint8Array(20).fill(9) }];
  quorum.record = { ...record, version: record.version + 1, parties };
  const message = /it has 5 parties, and a quorum has 4, 7, 10 or 13; it numbers them 1, 2, 3, 4, 9/;
  await t.rejects(quorum.start(1), { code: 'STATE_INVALID', message });
});

t.test('an object in the vault that is damaged or of somebody else is named', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  await Promise.all(engines.map(({ stop }) => stop()));
  const [one, two] = [present(quorum.storages.get(1)), present(quorum.storages.get(2))];
  const path = ['EpochData', DEFAULT_EPOCH_ID];
  const own = await one.get(path);

  await one.put(path, await two.get(path), { replace: true });
  const message = /private object EpochData\/08.*: it was made for another party/;
  await t.rejects(quorum.start(1), { code: 'STATE_INVALID', message }, "another party's");

  for (const at of [0, 60, own.byteLength - 40]) {
    const damaged = Uint8Array.from(own);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    await one.put(path, damaged, { replace: true });
    await t.rejects(quorum.start(1), { code: 'STATE_INVALID', message: /EpochData\/08/ }, `byte ${at}`);
  }
  await one.put(path, own, { replace: true });
  const stray = ['Context', idOf(5)];
  await one.put(stray, clearKeychain.seal(stray, Uint8Array.of(1)));
  await t.rejects(quorum.start(1), { code: 'STATE_INVALID', message: /private object Context\/0*5 cannot be used/ });
  await one.delete(stray);
  t.equal((await (await quorum.start(1)).describe()).threshold?.settled, true, 'as it was before');
});

t.test('a centralized node does not take the vault of a quorum', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  await Promise.all(engines.map(({ stop }) => stop()));
  const { folder, storage, stop } = await testEngine(t);
  await stop();
  const path = ['EpochData', DEFAULT_EPOCH_ID];
  await storage.put(path, await present(quorum.storages.get(1)).get(path));
  const message = /that of a party of a quorum, it holds EpochData\/08.*configure \[threshold\]/;
  await t.rejects(testEngine(t, { folder }), { code: 'STATE_INVALID', message });
});

t.test('a party that lies is named by the others, and changes no result', async (t) => {
  const quorum = quorumEngines(t, 4);
  const lie = { masksOf: lyingMasks(systemRandom) };
  const engines = await Promise.all(
    quorum.parties.map((party) => quorum.start(party, party === 2 ? { quorum: lie } : {})),
  );
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  for (let value = 10n; value < 20n; value++) {
    const ciphertext = await evaluation.encrypt(value, 5, 2);
    const answers = await askPublicly(engines, publicDecryption(idOf(2), [{ ciphertext, fheType: 5 }]));
    t.same(answers.map(plaintextOf), [value, value, value, value]);
  }
  // A share that comes after the opening is looked at when there is time.
  const { log: seen } = present(engines[0]);
  await until(() => seen.some(({ event, party }) => event === 'quorum.fault' && party === 2));
  const blamed = engines.flatMap(({ party, log }) =>
    log.flatMap((line) => (line.event === 'quorum.fault' && party !== 2 ? [line.party] : [])),
  );
  t.same([...new Set(blamed)], [2], 'and nobody else');
  const { link } = present(engines[0]);
  const { peers } = fromBinary(PeerTableSchema, await link.call(ENGINE_METHOD.peers));
  const faulty = peers.flatMap(({ role, party, faults }) => faults.map(({ kind }) => [role, party, kind]));
  t.same(faulty, [['engine', 2, 'wrong share']], 'in `arca peers`, too');
  const { quorum: counts } = fromBinary(EngineStatusSchema, await link.call(ENGINE_METHOD.status));
  t.match(counts, { publicDecryptions: 10n, masks: [{ epochId: DEFAULT_EPOCH_ID, blocks: 160n }] });
});

t.test('nothing secret of an epoch is in a log or an inspected object', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const content = Buffer.from(await present(quorum.storages.get(1)).get(['EpochData', DEFAULT_EPOCH_ID]));
  const digestAt = content.byteLength - 32 - 8;
  const keys = [1, 2, 3].map((index) => content.subarray(digestAt - index * 32, digestAt - (index - 1) * 32));
  const said = JSON.stringify(engines.map(({ log }) => log)) + inspect(engines, { depth: 6 });
  t.ok(keys.every((key) => !said.includes(key.toString('hex')) && !said.includes(key.toString('base64'))));
  t.ok(said.includes(DEFAULT_CONTEXT_ID), 'while ids are');
});

t.test(
  'a node that makes no epoch by itself waits for nothing, and makes the default one when it is asked to',
  async (t) => {
    const quorum = quorumEngines(t, 4);
    const engines = await quorum.startAll({ quorum: { makeDefaultEpoch: false } });
    for (const { describe } of engines) t.match((await describe()).threshold, { settled: true, epochs: [] });
    const epochId = { requestId: DEFAULT_EPOCH_ID };
    const asked = toBinary(NewMpcEpochRequestSchema, create(NewMpcEpochRequestSchema, { epochId }));
    await Promise.all(engines.map(({ link }) => link.call(ENGINE_METHOD.newEpoch, asked)));
    for (const { describe } of engines) {
      t.match((await describe()).threshold, { epochs: [{ contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID }] });
    }
  },
);
