/** `arca proposal`: what an RPC was refused for, signed by people, in files or at the node. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { encodeCharter, encodeSigned, GovernanceBook, proposalDigest } from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import { CHARTER, digestOf, MAINNET, NOW_MS, recordFields, signedRecord } from '../attestation/governance/fixtures.ts';
import { arca, governanceFolder, jsonOf, serveBook } from './governed-node.ts';

const subject = digestOf('a context');
const digest = toHex(proposalDigest({ network: MAINNET, kind: 'context', digest: subject }));

t.test('a change that an RPC was refused for is approved by its digest, one person after the other', async (t) => {
  const dir = governanceFolder(t);
  const book = new GovernanceBook({ charter: CHARTER });
  const url = await serveBook(t, book, () => NOW_MS);
  t.throws(() => book.requireApproval('context', subject), {
    code: 'APPROVAL_MISSING',
    facts: { proposalDigest: digest },
  });
  const row = { kind: 'context', digest, subject: toHex(subject), needed: 3 };
  t.match(jsonOf(await arca(dir, 'proposal', 'status', '--url', url, '--json')), {
    proposals: [{ ...row, signatures: 0 }],
  });
  t.match(jsonOf(await arca(dir, 'proposal', 'show', digest.slice(0, 8), '--url', url, '--json')), { digest });
  for (const key of ['g1', 'g2', 'g4']) {
    const approved = await arca(dir, 'proposal', 'approve', digest, '--key', `@${key}.pem`, '--url', url);
    t.equal(approved.code, 0, approved.stderr);
  }
  t.match(jsonOf(await arca(dir, 'proposal', 'status', '--url', url, '--json')), {
    proposals: [{ ...row, signatures: 3, approved: true }],
  });
  t.doesNotThrow(() => book.requireApproval('context', subject));
});

t.test('people without a node sign kind and digest into a file, which somebody applies', async (t) => {
  const dir = governanceFolder(t);
  const book = new GovernanceBook({ charter: CHARTER });
  const url = await serveBook(t, book, () => NOW_MS);
  t.throws(() => book.requireApproval('context', subject), { code: 'APPROVAL_MISSING' });
  const first = ['proposal', 'show', digest.slice(0, 12), '--url', url, '--out', '@p.cbor'];
  t.match(jsonOf(await arca(dir, ...first, '--json')), {
    digest,
    status: { signatures: 0, needed: 3, complete: false },
  });
  t.match(await arca(dir, ...first), { code: 1, stderr: /there already/ });
  const next = (key: string) =>
    arca(dir, 'proposal', 'approve', '@p.cbor', '--charter', '@charter', '--key', `@${key}.pem`, '--json');
  await next('g1');
  t.match(jsonOf(await next('g2')), { status: { signatures: 2 } }, 'a key counts once');
  t.equal((await arca(dir, 'proposal', 'status', '@p.cbor', '--charter', '@charter')).code, 1, 'one is missing');
  t.match(await next('r1'), { code: 1, stdout: /KEY_INVALID/ });
  await next('g3');
  t.equal((await arca(dir, 'proposal', 'status', '@p.cbor', '--charter', '@charter')).code, 0);
  t.notOk(book.isApproved('context', subject));
  t.equal((await arca(dir, 'proposal', 'apply', '@p.cbor', '--url', url)).code, 0);
  t.ok(book.isApproved('context', subject));
});

t.test('nobody signs under the charter of another network', async (t) => {
  const dir = governanceFolder(t);
  writeFileSync(join(dir, 'other'), encodeCharter({ ...CHARTER, network: 'other-1' }));
  const file = join(dir, 'record.cbor');
  const record = encodeSigned(signedRecord(recordFields(), []));
  writeFileSync(file, record);
  const { code, stderr } = await arca(
    dir,
    ...['proposal', 'approve', '@record.cbor', '--key', '@g1.pem', '--charter', '@other'],
  );
  t.equal(code, 1);
  t.match(stderr, 'the proposal is of network mainnet-1, the charter of other-1');
  t.same(new Uint8Array(readFileSync(file)), record, 'the file is as it was');
});

t.test('what is no file and no proposal, and a charter, are refused by name', async (t) => {
  const dir = governanceFolder(t);
  const url = await serveBook(t, new GovernanceBook({ charter: CHARTER }), () => NOW_MS);
  t.match(await arca(dir, 'proposal', 'show', 'deadbeef00', '--url', url), {
    code: 1,
    stderr: /no file and no proposal/,
  });
  t.match(await arca(dir, 'proposal', 'show', '@charter'), { code: 1, stderr: /charter, which nobody signs/ });
  t.match(
    await arca(dir, 'proposal', 'approve', 'ab', '--kind', 'context', '--charter', '@charter', '--key', '@g1.pem'),
    { code: 2 },
  );
  t.match(await arca(dir, 'proposal', 'approve', 'ab', '--key', '@g1.pem', '--url', url), { code: 1 });
  t.equal((await arca(dir, 'proposal', 'approve', 'ab')).code, 2, 'without a key');
});
