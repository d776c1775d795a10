/**
 * Which status every RPC answers in every situation of kms-service 1.5 and 1.6, as a table.
 *
 * Each row runs on a Core of its own. `before` brings it into the situation; then the call is made and judged.
 */
import t from 'tap';
import { CoreServiceEndpoint } from '../../../proto/gen/kms-service_pb.js';
import { MetaStoreStatusService } from '../../../proto/gen/metastore-status_pb.js';
import { decryptionRows } from './status-matrix/decryption-rows.ts';
import { crsRows, keyGenRows, preprocessingRows } from './status-matrix/generation-rows.ts';
import { OTHER_ROWS } from './status-matrix/other-rows.ts';
import { META, OTHER_SERVICE_ROWS, SECURE_NODE_ROWS } from './status-matrix/service-rows.ts';
import type { Row } from './status-matrix/situations.ts';
import { startTestCore } from './test-core.ts';

const TABLE: readonly Row[] = [
  ...decryptionRows('public_decrypt'),
  ...decryptionRows('user_decrypt'),
  ...preprocessingRows(false),
  ...preprocessingRows(true),
  ...keyGenRows(false),
  ...keyGenRows(true),
  ...crsRows(false),
  ...crsRows(true),
  ...OTHER_ROWS,
  ...OTHER_SERVICE_ROWS,
  ...SECURE_NODE_ROWS,
];

t.test('the table has every RPC of every service', async (t) => {
  const inTable = new Set(TABLE.map(({ rpc }) => rpc));
  for (const { name } of CoreServiceEndpoint.methods) t.ok(inTable.has(name), name);
  for (const { name } of MetaStoreStatusService.methods) t.ok(inTable.has(`${META}/${name}`), name);
  t.equal(CoreServiceEndpoint.methods.length, 35);
});

for (const rpc of new Set(TABLE.map((row) => row.rpc))) {
  t.test(`${rpc} answers as published`, async (t) => {
    for (const row of TABLE.filter((candidate) => candidate.rpc === rpc)) {
      const core = await startTestCore(t, { file: ':memory:', ...row.options });
      await row.before?.(core);
      t.equal(await core.status(rpc, row.body), row.status, `${row.status} when ${row.when}`);
      await core.stop();
    }
  });
}
