/**
 * Whole engines of a quorum in one process: they enrol, make the default epoch, keep it over restarts, and decrypt
 * together with dealt keys.
 */
import t from 'tap';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { quorumEngines, settled } from '../../helpers/quorum-engines.ts';

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
