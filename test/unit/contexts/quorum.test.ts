/**
 * Whole engines of a quorum in one process: they enrol, make the default epoch, keep it over restarts, and decrypt
 * together with dealt keys.
 */
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { EngineStatusSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { publicDecryption } from '../../helpers/party-requests.ts';
import { present } from '../../helpers/present.ts';
import { askPublicly, dealKey, plaintextOf } from '../../helpers/quorum-decryptions.ts';
import { quorumEngines, settled } from '../../helpers/quorum-engines.ts';
import { idOf } from '../../helpers/requests.ts';

t.test('four engines enrol, make the default epoch, and have it after a restart', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  for (const { party, describe } of engines) {
    const { threshold } = await describe();
    t.equal(threshold?.party, party);
    t.match(threshold?.epochs, [{ contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID }]);
    t.match(threshold?.contexts, [{ contextId: DEFAULT_CONTEXT_ID, threshold: 1, party }]);
    t.equal(threshold?.contexts[0]?.nodes.length, 4);
  }
  for (const engine of engines) {
    const again = await quorum.restart(engine);
    t.equal((await again.describe()).threshold?.settled, true, `party ${engine.party} has it at once`);
  }
});

t.test('a key that all parties were dealt decrypts, before and after a restart of all', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  for (const format of [0, 1, 2, 3] as const) {
    const ciphertext = await evaluation.encrypt(4_242n, 5, format);
    const answers = await askPublicly(engines, publicDecryption(idOf(2), [{ ciphertext, fheType: 5, format }]));
    t.same(answers.map(plaintextOf), [4_242n, 4_242n, 4_242n, 4_242n], `format ${format}`);
  }
  const again = await Promise.all(engines.map((engine) => quorum.restart(engine)));
  const ciphertext = await evaluation.encrypt(7n, 2, 2);
  const request = publicDecryption(idOf(2), [{ ciphertext, fheType: 2 }]);
  t.same((await askPublicly(again, request)).map(plaintextOf), [7n, 7n, 7n, 7n]);
});

t.test('three of four are enough, and the fourth answers the same once it is back', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const [one, two, three, four] = engines.map((engine) => present(engine));
  await four?.stop();
  const ciphertext = await evaluation.encrypt(77n, 5, 2);
  const request = publicDecryption(idOf(2), [{ ciphertext, fheType: 5 }]);
  const asked = [one, two, three].map((engine) => present(engine));
  t.same((await askPublicly(asked, request)).map(plaintextOf), [77n, 77n, 77n]);
  const back = await quorum.start(4);
  t.same((await askPublicly([back], request)).map(plaintextOf), [77n], 'the others still have their shares');
});

t.test('two of four get nothing', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const evaluation = await dealKey(t, quorum, engines);
  const ciphertext = await evaluation.encrypt(77n, 5, 2);
  const pending = askPublicly(engines.slice(0, 2), publicDecryption(idOf(2), [{ ciphertext, fheType: 5 }]));
  const [one] = engines;
  const status = async () => fromBinary(EngineStatusSchema, await present(one).link.call(ENGINE_METHOD.status)).quorum;
  while ((await status())?.pending !== 1n) await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal((await status())?.publicDecryptions, 0n);
  for (const { stop } of engines) await stop();
  for (const answer of await pending) t.equal(answer.status, 'rejected');
});
