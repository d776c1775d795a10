/** `arca attest`: good nodes hold, and every way of lying is named. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runDocument } from '../../../parent/cli/actions/attest.ts';
import { RELEASE, releaseSet, startAttestingNode } from '../../helpers/attesting-node.ts';
import { startTestAttester } from '../../helpers/software-nsm.ts';
import { clockAt, run, trusting, verify } from './attest-runs.ts';

t.test('a good node holds, and a developer root is said loudly', async (t) => {
  const node = await startAttestingNode(t);
  const { value, stderr, error } = await verify(node.target, trusting(node));
  t.equal(error, undefined);
  t.match(value, {
    verified: true,
    developer: true,
    release: RELEASE,
    faults: [],
    mismatches: [],
    facts: { network: 'dev:test', party: 1, release: RELEASE, incarnation: 3 },
  });
  t.match(stderr, /DEVELOPER ROOT/);
});

t.test('nobody is trusted whom nobody named', async (t) => {
  const node = await startAttestingNode(t);
  const cases = [
    ['no root', { expect: node.releaseFile }, /3\.1/, /--dir FOLDER or --root FILE/],
    ['no release', { root: node.rootFile }, /6\.2 no trusted release was named/, /--expect/],
    ['nothing', {}, /3\.1/, /--dir/],
  ] as const;
  for (const [why, options, message, cure] of cases) {
    const { value, error } = await verify(node.target, options);
    t.match(error, { message, facts: { cure } }, why);
    t.match(value, { verified: false }, why);
  }
});

t.test('every lie is found and named', async (t) => {
  const other = new Uint8Array(20).fill(8);
  const cases: readonly (readonly [string, Parameters<typeof startAttestingNode>[1], RegExp])[] = [
    ['an old document', { nonce: new Uint8Array(32) }, /7\.1/],
    ['another address', { served: { address: other } }, /7\.3/],
    ['another network', { served: { network: 'dev:other' } }, /7\.3/],
    ['another charter', { served: { charterDigest: new Uint8Array(48) } }, /7\.3.*8\.2/],
    ['another party', { served: { party: 2 } }, /7\.3/],
    ['an older start', { served: { incarnation: 2 } }, /7\.3/],
    ['another release', { served: { release: 'arca-2.0.0' } }, /7\.3/],
    ['a charter that PCR16 does not hold', { charterDigest: new Uint8Array(48).fill(1) }, /8\.2/],
    ['a production network under a developer root', { facts: { network: 'main' } }, /8\.4/],
    ['a clock two minutes behind', { clock: clockAt(-120_000) }, /4\.2/],
    ['a clock two minutes ahead', { clock: clockAt(120_000) }, /4\.1/],
    ['a document of a parent', { role: 'core' }, /6\./],
  ];
  for (const [why, options, faults] of cases) {
    const node = await startAttestingNode(t, options);
    const { value, error } = await verify(node.target, trusting(node));
    t.match(error, { name: 'KmsError', message: faults }, why);
    t.equal(value.verified, false, why);
  }
});

t.test('other code is refused with every register that differs', async (t) => {
  const node = await startAttestingNode(t);
  const zeros = { 0: 'aa'.repeat(48), 1: 'bb'.repeat(48), 2: 'cc'.repeat(48) };
  const file = join(node.dir, 'other.json');
  writeFileSync(file, JSON.stringify(releaseSet(node.attester, { pcrs: zeros })));
  const { value, error } = await verify(node.target, { root: node.rootFile, expect: file });
  t.match(error, { code: 'ATTESTATION_REJECTED', message: /6\.2/ });
  t.match(value, { mismatches: [{ pcr: 0 }, { pcr: 1 }, { pcr: 2 }] });
});

t.test(
  'a node that calls itself by the name of other code is refused; names that nobody knows are shown',
  async (t) => {
    const node = await startAttestingNode(t, { facts: { release: 'arca-9.9.9' } });
    t.match((await verify(node.target, trusting(node))).value, { verified: true, release: RELEASE });
    const file = join(node.dir, 'two.json');
    const [own, other] = [
      {},
      { release: 'arca-9.9.9', pcrs: { 0: 'aa'.repeat(48), 1: 'bb'.repeat(48), 2: 'cc'.repeat(48) } },
    ];
    const entries = [own, other].flatMap((change) => releaseSet(node.attester, change).entries);
    writeFileSync(file, JSON.stringify({ entries }));
    t.match((await verify(node.target, { root: node.rootFile, expect: file })).error, { message: /8\.3/ });
  },
);

t.test('a release in the forms in which people have them', async (t) => {
  const node = await startAttestingNode(t);
  const hex = (index: number) => Buffer.from(node.attester.pcrs.get(index) ?? []).toString('hex');
  const registers = { PCR0: hex(0), PCR1: hex(1), PCR2: hex(2) };
  const set = releaseSet(node.attester, { release: 'expected' });
  const forms: readonly (readonly [string, unknown, boolean])[] = [
    ['nitro-cli', { Measurements: { HashAlgorithm: 'Sha384 { ... }', ...registers } }, true],
    ['registers alone', registers, true],
    ['a signed set', { body: set, signatures: [], approvals: [] }, true],
    ['a set', set, true],
    ['no registers', { entries: [{ release: 'expected', pcrs: {} }] }, false],
    ['an empty list', { entries: [] }, false],
    ['one register', { PCR0: hex(0) }, false],
    ['an expired entry', releaseSet(node.attester, { release: 'expected', notAfter: '2020-01-01T00:00:00Z' }), false],
    ['one of another role', releaseSet(node.attester, { release: 'expected', role: 'core' }), false],
    ['no release', { name: 'arca' }, false],
    ['a text', 'PCR0', false],
  ];
  for (const [why, form, holds] of forms) {
    const file = join(node.dir, 'form.json');
    writeFileSync(file, JSON.stringify(form));
    const { error } = await verify(node.target, { root: node.rootFile, expect: file });
    t.equal(error === undefined, holds, `${why}: ${error instanceof Error ? error.message : ''}`);
  }
});

t.test('a charter and an address that were named must be those of the node', async (t) => {
  const node = await startAttestingNode(t);
  const good = { ...trusting(node), address: '0x0909090909090909090909090909090909090909' };
  t.equal((await verify(node.target, good)).error, undefined);
  const bad = { ...trusting(node), address: '0x0808080808080808080808080808080808080808' };
  t.match((await verify(node.target, bad)).error, { message: /8\.6/ });
  t.match((await verify(node.target, { ...good, address: '0x12' })).error, { facts: { usage: true } });
});

t.test('a document of another root does not hold, even one that looks alike', async (t) => {
  const node = await startAttestingNode(t);
  const stranger = await startTestAttester({ role: 'engine', charterDigest: node.facts.charterDigest });
  const file = join(node.dir, 'stranger.bin');
  writeFileSync(file, await stranger.nsm.attest({}));
  t.match((await verify(file, trusting(node))).error, { code: 'ATTESTATION_INVALID', message: /3\.1/ });
});

t.test('says why a node gives no attestation', async (t) => {
  const answers: Record<string, (nonce: string) => [number, string, Record<string, string>?]> = {
    'HTTP 404': () => [404, 'not found'],
    'HTTP 429: slow down': () => [429, JSON.stringify({ error: { message: 'slow down' } })],
    'HTTP 503': () => [503, JSON.stringify({ error: { message: '\u001b[31mred' } })],
    'is no attestation': () => [200, '{}'],
    'does not answer': () => [200, 'x'.repeat(200_000)],
    'does not answer.': () => [302, '', { location: 'http://127.0.0.1:1/' }],
  };
  for (const [why, answer] of Object.entries(answers)) {
    const server = createServer((request, response) => {
      const [status, body, headers] = answer(request.url ?? '');
      response.writeHead(status, headers).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    const { port } = server.address() as AddressInfo;
    const { error } = await verify(`127.0.0.1:${port}`, {});
    t.match(error, { name: 'KmsError', message: why.replace(/\.$/, ''), facts: { cure: /./ } }, why);
    t.notMatch(String(error), '\u001b', 'and paints nothing');
  }
});

t.test('fetches the document of the own node over the nonce that is given', async (t: Test) => {
  const node = await startAttestingNode(t);
  const nonce = '0123456789abcdef';
  const selection = { dir: node.dir, url: 'http://127.0.0.1:1', publicUrl: `http://${node.target}/kms/PUB`, nonce };
  const out = join(node.dir, 'mine.json');
  t.match((await run((output) => runDocument({ ...selection, out }, output))).value, { nonce, label: 'arca-attest-1' });
  t.equal((await verify(out, trusting(node))).error, undefined);
});
