/** A party that lies is a demonstration: the code for it is reached by the developer engine alone. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ROOT, reach, sources } from '../../helpers/import-graph.ts';

const LIES = 'enclave/developer/lying-shares.ts';
const PROGRAM = 'enclave/main-dev.ts';

t.test('of all programs only the developer engine reaches the code that lies', async (t) => {
  t.ok(existsSync(join(ROOT, LIES)), 'the file is there');
  t.ok(reach([PROGRAM]).has(LIES), 'and reached');
  const mains = [...sources('enclave'), ...sources('parent')].filter((file) => /\/main[a-z-]*\.ts$/.test(file));
  t.ok(mains.length >= 5, 'the programs were found');
  const reaching = mains.filter((file) => file !== PROGRAM && reach([file]).has(LIES));
  t.same(reaching, []);
});

t.test('what is only for developers is imported by the developer programs alone', async (t) => {
  const folder = 'enclave/developer/';
  const others = sources('enclave').filter(
    (file) => !file.startsWith(folder) && !/^enclave\/main-.*dev\.ts$/.test(file),
  );
  const ways = [...reach(others)].filter(([file]) => file.startsWith(folder)).map(([, way]) => way);
  t.same(ways, []);
});
