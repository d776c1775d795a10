/** `arca upgrade plan`: an order of steps, or who would be locked out. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { encodeSigned, makeReleaseSet } from '../../../attestation/governance/index.ts';
import { engineEntry, MAINNET, NOW_MS } from '../attestation/governance/fixtures.ts';
import { arca, jsonOf } from './governed-node.ts';

const AT = new Date(NOW_MS).toISOString();
const [A, B] = ['A', 'B'].map((name) => engineEntry(name));
const setBytes = (version: number, entries: readonly (ReturnType<typeof engineEntry> | undefined)[]) =>
  encodeSigned(makeReleaseSet({ version, network: MAINNET, entries: entries.filter((entry) => entry !== undefined) }));

function folder(t: Test): string {
  const dir = t.testdir({});
  writeFileSync(join(dir, 'a.cbor'), setBytes(1, [A]));
  writeFileSync(join(dir, 'ab.cbor'), setBytes(2, [A, B]));
  writeFileSync(join(dir, 'b.cbor'), setBytes(3, [B]));
  return dir;
}

t.test('a set with both releases in between gives a plan of steps with times', async (t) => {
  const dir = folder(t);
  const plan = jsonOf(await arca(dir, 'upgrade', 'plan', '@a.cbor', '@ab.cbor', '--at', AT, '--json'));
  t.match(plan, {
    ok: true,
    order: 'set-first',
    steps: [
      { action: 'sign' },
      { action: 'apply', version: 2 },
      { action: 'run', programs: [{ release: 'B', role: 'engine' }] },
    ],
  });
  const text = await arca(dir, 'upgrade', 'plan', '@ab.cbor', '@b.cbor', '--at', AT);
  t.equal(text.code, 0);
  t.match(text.stdout, /programs-first: nobody is locked out[\s\S]*every party moves to B \(engine\)/);
});

t.test('going from one to the other in one step is refused with witnesses, exit code 1', async (t) => {
  const dir = folder(t);
  const refused = await arca(dir, 'upgrade', 'plan', '@a.cbor', '@b.cbor', '--at', AT, '--json');
  t.equal(refused.code, 1);
  t.match(jsonOf(refused), {
    ok: false,
    tried: [{ order: 'set-first', lockOuts: [{ setVersion: 3, release: 'A' }] }, { order: 'programs-first' }],
  });
  const order = await arca(dir, 'upgrade', 'plan', '@a.cbor', '@ab.cbor', '--order', 'programs-first', '--at', AT);
  t.match(order, { code: 1, stdout: /refuses the engine of one that runs B: set 1 does not list it/ });
});

t.test('steps that do not fit into the life of a release are refused, and fit when they are shorter', async (t) => {
  const dir = folder(t);
  const plan = (...more: string[]) => arca(dir, 'upgrade', 'plan', '@a.cbor', '@ab.cbor', '--at', AT, ...more);
  t.equal((await plan('--step-hours', '2000')).code, 1);
  t.equal((await plan('--step-hours', '20')).code, 0);
});

t.test('sets in the wrong order and unknown releases are refused', async (t) => {
  const dir = folder(t);
  t.match(await arca(dir, 'upgrade', 'plan', '@b.cbor', '@a.cbor'), {
    code: 1,
    stderr: /version 1 does not come after 3/,
  });
  t.match(await arca(dir, 'upgrade', 'plan', '@a.cbor', '@ab.cbor', '--to', 'Z'), {
    code: 1,
    stderr: /no.* release Z/,
  });
  t.equal((await arca(dir, 'upgrade', 'plan', '@a.cbor')).code, 2);
});
