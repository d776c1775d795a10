/** `arca attest` on files: each judged at its own time, and what is no attestation refused by name. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { encodeCanonical } from '../../../attestation/cbor.ts';
import { charterDigest, charterFor, encodeCharter } from '../../../attestation/governance/index.ts';
import { isKmsError } from '../../../common/errors.ts';
import { runExplain, runPcrs } from '../../../parent/cli/actions/attest.ts';
import { attestationJson, parseAttestation } from '../../../parent/cli/attest/attestation-file.ts';
import { RELEASE, startAttestingNode } from '../../helpers/attesting-node.ts';
import { CHARTER } from '../attestation/governance/fixtures.ts';
import { clockAt, run, trusting, verify } from './attest-runs.ts';

t.test('a file is judged at its own time, and says what it is not', async (t) => {
  const node = await startAttestingNode(t, { clock: clockAt(-86_400_000) });
  const nonce = new Uint8Array(16).fill(3);
  const { document } = await node.attest(nonce);
  const file = join(node.dir, 'node.json');
  writeFileSync(file, JSON.stringify(attestationJson({ document, nonce, facts: node.facts })));
  const good = await verify(file, trusting(node));
  t.equal(good.error, undefined);
  t.match(good.stderr, /a file proves what was/);
  t.match((await verify(file, { ...trusting(node), nonce: '00'.repeat(16) })).error, { message: /7\.1/ });
  const raw = join(node.dir, 'node.bin');
  writeFileSync(raw, document);
  t.match((await verify(raw, trusting(node))).value, { verified: true, release: RELEASE });
  const address = '0x0909090909090909090909090909090909090909';
  t.match((await verify(raw, { ...trusting(node), address })).value, { verified: false }, 'no address stands in it');
  const explained = await run((out) => runExplain(file, {}, out));
  t.equal(explained.error, undefined, 'what can be read is explained, whatever it is worth');
  t.match(explained.value, { parsed: true, holds: false });
  const shown = await run((out) => runPcrs(raw, { dir: node.dir }, out));
  t.match(shown.value, { platform: 'enclave', pcrs: { 0: /^[0-9a-f]{96}$/ } });
});

t.test('a charter that was named is compared with PCR16 where no facts stand beside the document', async (t) => {
  const node = await startAttestingNode(t, { facts: { charterDigest: charterDigest(CHARTER) } });
  const file = join(node.dir, 'bare.bin');
  writeFileSync(file, await node.attester.nsm.attest({}));
  const charter = join(node.dir, 'charter');
  writeFileSync(charter, encodeCharter(CHARTER));
  const good = await verify(file, { ...trusting(node), charter });
  t.equal(good.error, undefined);
  const other = join(node.dir, 'other');
  writeFileSync(other, encodeCharter(charterFor(CHARTER, CHARTER.party + 1)));
  const bad = await verify(file, { ...trusting(node), charter: other });
  t.match(bad.error, { message: /8\.5.*PCR16 expected/ });
  t.match(bad.value, { verified: false });
  const core = await startAttestingNode(t, { role: 'core' });
  writeFileSync(file, await core.attester.nsm.attest({}));
  t.match(
    (await verify(file, { ...trusting(core), charter })).error,
    { message: /8\.5.*actual 0{96}/ },
    'a PCR16 of zeros',
  );
});

t.test('no more of a file comes into memory than a document may have', async (t) => {
  const dir = t.testdir({});
  const file = join(dir, 'disk.img');
  writeFileSync(file, '');
  truncateSync(file, 8 * 1024 ** 4);
  const before = process.memoryUsage().rss;
  for (const path of [file, '/dev/zero']) {
    const runs = [
      await verify(path, {}),
      await run((out) => runExplain(path, {}, out)),
      await run((out) => runPcrs(path, { dir }, out)),
      await run((out) => runExplain(file, { root: path }, out)),
      await run((out) => runExplain(file, { charter: path }, out)),
      await run((out) => runExplain(file, { expect: path }, out)),
    ];
    for (const { error } of runs) t.match(error, { message: /has more than \d+ bytes/, facts: { cure: /./ } }, path);
  }
  t.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024);
});

t.test('a document without readable registers has none to show', async (t) => {
  const node = await startAttestingNode(t, { form: { encodePcrs: () => encodeCanonical(new Map()) } });
  const file = join(node.dir, 'none.bin');
  writeFileSync(file, await node.attester.nsm.attest({}));
  t.match((await run((out) => runPcrs(file, { dir: node.dir }, out))).error, {
    message: /no document with readable PCRs/,
  });
  const explained = await run((out) => runExplain(file, { root: node.rootFile }, out));
  t.equal(explained.error, undefined, 'the tree says what is wrong with them');
  t.match(explained.value, { parsed: true, holds: false });
});

t.test('a mesh document is no attestation', async (t) => {
  const node = await startAttestingNode(t);
  const nonce = new Uint8Array(16).fill(3);
  const document = await node.attester.nsm.attest({
    nonce,
    publicKey: new Uint8Array(91),
    userData: new Uint8Array(48),
  });
  const file = join(node.dir, 'mesh.json');
  writeFileSync(file, JSON.stringify(attestationJson({ document, nonce, facts: node.facts })));
  t.match((await verify(file, trusting(node))).error, { message: /7\.3/ });
});

t.test('what cannot be read is refused with what would be right', async (t) => {
  const node = await startAttestingNode(t);
  const file = join(node.dir, 'garbage');
  for (const garbage of [
    '',
    '{',
    '{}',
    'zz',
    '\x84\x44',
    JSON.stringify({ label: 'arca-attest-1' }),
    'A'.repeat(300_000),
  ]) {
    writeFileSync(file, garbage, 'latin1');
    for (const ran of [await verify(file, trusting(node)), await run((out) => runExplain(file, {}, out))]) {
      t.match(ran.error, { name: 'KmsError', facts: { cure: /./ } }, JSON.stringify(garbage.slice(0, 20)));
    }
  }
  for (const target of ['not-a-file', 'ftp://x/', 'http://', '127.0.0.1']) {
    t.match((await verify(target, trusting(node))).error, { facts: { usage: true } }, target);
  }
});

t.test('any JSON in place of an attestation is refused, or judged', async (t) => {
  const shape = fc.record({
    label: fc.constant('arca-attest-1'),
    nonce: fc.oneof(fc.constant('00'.repeat(8)), fc.string()),
    document: fc.oneof(fc.base64String(), fc.string()),
    facts: fc.oneof(fc.jsonValue(), fc.record({ network: fc.string(), party: fc.integer(), incarnation: fc.double() })),
  });
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), shape), (value) => {
      try {
        return typeof parseAttestation(value, 'here') === 'object';
      } catch (error) {
        return isKmsError(error, 'REQUEST_INVALID');
      }
    }),
  );
  t.pass('1 property');
});
