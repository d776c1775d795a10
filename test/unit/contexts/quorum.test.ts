/**
 * Whole engines of a quorum in one process: they enrol, make the default epoch, keep it over restarts, and decrypt
 * together with dealt keys.
 */
import t from 'tap';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { publicDecryption } from '../../helpers/party-requests.ts';
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
