/** `arca charter`: made from keys, shown and checked; see governed-node.ts for the folder. */
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  charterDigest,
  charterFor,
  decodeCharter,
  encodeCharter,
  pcr16Of,
  rawPublicKey,
} from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import { CHARTER, GOVERNANCE } from '../attestation/governance/fixtures.ts';
import { arca, governanceFolder, jsonOf } from './governed-node.ts';

const KEYS = GOVERNANCE.flatMap((key) => ['--governance-key', toHex(rawPublicKey(key))]);
const BASE = ['charter', 'create', '--network', 'mainnet-1', '--party', '1', '--threshold', '3'];

t.test('a charter made from keys is the one that the library makes, and is shown with digest and PCR16', async (t) => {
  const dir = governanceFolder(t);
  const made = await arca(dir, ...BASE, ...KEYS, '--out', '@made.charter', '--json');
  t.equal(made.code, 0, made.stderr);
  t.same(readFileSync(join(dir, 'made.charter')), Buffer.from(encodeCharter(CHARTER)));
  const shown = jsonOf(await arca(dir, 'charter', 'show', '@made.charter', '--json'));
  t.match(shown, { digest: toHex(charterDigest(CHARTER)), pcr16: toHex(pcr16Of(CHARTER)) });
  const second = jsonOf(await arca(dir, 'charter', 'show', '@made.charter', '--party', '2', '--json'));
  t.equal(second.pcr16, toHex(pcr16Of(charterFor(CHARTER, 2))));
});

t.test('keys may come from PEM files; a private one that others may read is refused', async (t) => {
  const dir = governanceFolder(t);
  const files = [1, 2, 3, 4].flatMap((n) => ['--governance-key', `@g${n}.pem`]);
  t.equal((await arca(dir, ...BASE, ...files, '--out', '@a.charter')).code, 0);
  t.same(readFileSync(join(dir, 'a.charter')), Buffer.from(encodeCharter(CHARTER)));
  chmodSync(join(dir, 'g2.pem'), 0o640);
  const refused = await arca(dir, ...BASE, ...files, '--out', '@b.charter');
  t.equal(refused.code, 1);
  t.match(refused.stderr, /g2\.pem has mode 0640/);
  t.throws(() => statSync(join(dir, 'b.charter')), { code: 'ENOENT' });
});

t.test('a file is never replaced without --force', async (t) => {
  const dir = governanceFolder(t);
  const command = ['charter', 'create', '--from', '@charter', '--party', '2', '--out', '@charter'];
  const refused = await arca(dir, ...command);
  t.equal(refused.code, 1);
  t.match(refused.stderr, /is there already/);
  t.equal(decodeCharter(readFileSync(join(dir, 'charter'))).party, 1);
  t.equal((await arca(dir, ...command, '--force')).code, 0);
  t.equal(decodeCharter(readFileSync(join(dir, 'charter'))).party, 2);
});

t.test('check explains every fault of a JSON form and fails; the JSON of show passes', async (t) => {
  const dir = governanceFolder(t);
  const { stdout } = await arca(dir, 'charter', 'show', '@charter', '--json');
  writeFileSync(join(dir, 'good.json'), stdout);
  t.equal((await arca(dir, 'charter', 'check', '@good.json')).code, 0);
  const faulty = {
    version: 1,
    network: 'X',
    party: 0,
    governance: { keys: ['00'], threshold: 9 },
    anchor: '',
    more: 1,
  };
  writeFileSync(join(dir, 'bad.json'), JSON.stringify(faulty));
  const bad = await arca(dir, 'charter', 'check', '@bad.json');
  t.equal(bad.code, 1);
  for (const path of ['network', 'party', 'governance.keys[0]', 'governance.threshold', 'anchor', 'unknown field']) {
    t.ok(bad.stdout.includes(path), path);
  }
  const json = jsonOf(await arca(dir, 'charter', 'check', '@bad.json', '--json'));
  t.equal(json.ok, false);
});

t.test('wrong usage names what is missing, with exit code 2', async (t) => {
  const dir = governanceFolder(t);
  for (const [args, wanted] of [
    [['charter', 'create', '--out', '@x'], /needs --network/],
    [['charter', 'create'], /--out/],
    [[...BASE, '--out', '@x'], /needs --governance-key/],
    [['charter', 'create', '--network', 'a', '--party', 'one', '--out', '@x'], /'one' is no number/],
    [['charter', 'show'], /missing required argument/],
  ] as const) {
    const { code, stderr } = await arca(dir, ...args);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, wanted, args.join(' '));
  }
});

t.test('a file that is not there, damaged, or something else is refused by name', async (t) => {
  const dir = governanceFolder(t);
  writeFileSync(join(dir, 'torn'), encodeCharter(CHARTER).subarray(0, 50));
  writeFileSync(join(dir, 'torn.json'), '{"version":');
  t.match(await arca(dir, 'charter', 'show', '@none'), { code: 1, stderr: /no file/ });
  t.match(await arca(dir, 'charter', 'show', '@torn'), { code: 1, stderr: /neither JSON nor strict CBOR/ });
  t.match(await arca(dir, 'charter', 'show', '@torn.json'), { code: 1, stderr: /is no JSON/ });
  t.match(await arca(dir, 'record', 'show', '@charter'), { code: 1, stderr: /holds a charter/ });
});
