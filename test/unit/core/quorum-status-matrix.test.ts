/**
 * Which status a threshold node answers where it differs from a centralized one, as a table. Spec: kms-service 1.5, 1.6.
 */
import t from 'tap';
import { QUORUM_ROWS } from './status-matrix/quorum-rows.ts';
import { startTestCore } from './test-core.ts';

for (const rpc of new Set(QUORUM_ROWS.map((row) => row.rpc))) {
  t.test(`${rpc} of a threshold node answers as published`, async (t) => {
    for (const row of QUORUM_ROWS.filter((candidate) => candidate.rpc === rpc)) {
      const core = await startTestCore(t, { file: ':memory:', ...row.options });
      await row.before?.(core);
      t.equal(await core.status(rpc, row.body), row.status, `${row.status} when ${row.when}`);
      await core.stop();
    }
  });
}
