/**
 * The readable twin of the kernels branches on secrets and leaves them in memory: tests run it, no program reaches it.
 */
import t from 'tap';
import { reach, sources } from '../../helpers/import-graph.ts';

const TWIN = 'enclave/algebra';
const PROGRAMS = [
  'enclave/main.ts',
  'enclave/main-dev.ts',
  'enclave/main-test-image.ts',
  'parent/core/main.ts',
  'parent/core/main-dev.ts',
  'parent/cli/main.ts',
  'wire/index.ts',
  'attestation/document/index.ts',
];

t.test('no program reaches enclave/algebra', async (t) => {
  const reached = [...reach(PROGRAMS)];
  t.ok(reached.length > 100, 'the programs were found');
  t.same(
    reached.filter(([file]) => file.startsWith(`${TWIN}/`)).map(([, way]) => way),
    [],
  );
});

t.test('the twin reaches computation alone: no kernel, no vault, no network', async (t) => {
  const files = sources(TWIN);
  t.ok(files.length > 10, 'the twin was found');
  const allowed = /^(?:enclave\/algebra\/|common\/(?:bytes|errors)\.ts$|@noble\/hashes\/|node:crypto$)/;
  const ways = [...reach(files)].filter(([name]) => !allowed.test(name)).map(([, way]) => way);
  t.same(ways, []);
});
