import t from 'tap';
import {
  approve,
  bodyDigest,
  encodeSigned,
  GovernanceBook,
  makeReleaseSet,
  RELEASE_DELAY_MS,
  rawPublicKey,
  signReleaseSet,
  unsignedProposal,
  withApproval,
  withSignature,
} from '../../../../attestation/governance/index.ts';
import { toHex } from '../../../../common/bytes.ts';
import { isKmsError } from '../../../../common/errors.ts';
import { present } from '../../../helpers/present.ts';
import {
  CHARTER,
  coreEntry,
  DAY_MS,
  DEV_CHARTER,
  DEV_KEY,
  digestOf,
  engineEntry,
  GOVERNANCE,
  keyOf,
  MAINNET,
  NOW_MS,
  RELEASE,
  recordBytes,
  recordFields,
  setBytes,
  signedRecord,
  signedSet,
  thrownBy,
} from './fixtures.ts';

/** A book with record 1 and release set 1 (engine A) in force. */
function bookWithA(): GovernanceBook {
  const book = new GovernanceBook({ charter: CHARTER });
  book.offerRecord(recordBytes());
  t.equal(book.offerReleases(setBytes(1, [engineEntry('A')]), NOW_MS), 'in-force');
  return book;
}

const trusted = (book: GovernanceBook, nowMs: number) =>
  book
    .measurements(nowMs)
    .map(({ release }) => release)
    .sort();

t.test('a book without release set trusts nobody, and one with an empty set neither', async (t) => {
  const book = new GovernanceBook({ charter: CHARTER });
  t.same(book.measurements(NOW_MS), []);
  t.throws(() => book.offerReleases(setBytes(1, []), NOW_MS), { code: 'PRECONDITION_FAILED' }, 'no record yet');
  book.offerRecord(recordBytes());
  book.offerReleases(setBytes(1, []), NOW_MS);
  t.same(book.measurements(NOW_MS), []);
});

t.test('the first set holds at once, the next 72 hours after the first sight of it', async (t) => {
  const book = bookWithA();
  const next = setBytes(2, [engineEntry('A'), engineEntry('B')]);
  t.equal(book.offerReleases(next, NOW_MS), 'pending');
  t.equal(RELEASE_DELAY_MS, 72 * 3_600_000);
  t.equal(present(book.pending).effectiveFromMs, NOW_MS + RELEASE_DELAY_MS);
  t.equal(book.offerReleases(next, NOW_MS + 1_000), 'known', 'a second offer does not begin anew');
  t.equal(present(book.pending).firstSeenMs, NOW_MS);
  const lastMs = NOW_MS + RELEASE_DELAY_MS - 1;
  t.notOk(book.tick(lastMs));
  t.same(trusted(book, lastMs), ['A']);
  t.same(trusted(book, lastMs + 1), ['A', 'B'], 'measurements follow the time even before the tick');
  t.ok(book.tick(lastMs + 1));
  t.equal(present(book.releases).body.version, 2);
  t.equal(book.pending, undefined);
});

t.test('the delay survives a restart of the engine', async (t) => {
  const book = bookWithA();
  book.offerReleases(setBytes(2, [engineEntry('B')]), NOW_MS);
  const loaded = GovernanceBook.load(book.serialise(), { charter: CHARTER });
  t.same(loaded.serialise(), book.serialise());
  t.equal(loaded.offerReleases(setBytes(2, [engineEntry('B')]), NOW_MS + DAY_MS), 'known');
  t.equal(present(loaded.pending).effectiveFromMs, NOW_MS + RELEASE_DELAY_MS);
});

t.test('a set that only removes holds at once and drops one that waits', async (t) => {
  const book = new GovernanceBook({ charter: CHARTER });
  book.offerRecord(recordBytes());
  book.offerReleases(setBytes(1, [engineEntry('A'), engineEntry('B'), coreEntry('A')]), NOW_MS);
  t.equal(book.offerReleases(setBytes(2, [engineEntry('A'), engineEntry('C')]), NOW_MS), 'pending');
  t.equal(book.offerReleases(setBytes(3, [engineEntry('B')]), NOW_MS), 'in-force');
  t.same(trusted(book, NOW_MS), ['B']);
  t.equal(book.pending, undefined);
  t.equal(book.offerReleases(setBytes(4, [engineEntry('A'), engineEntry('B')]), NOW_MS), 'pending', 'back again waits');
});

t.test('an entry with other registers, another role or a longer life is no removal', async (t) => {
  const base = engineEntry('A');
  const longer = { ...base, notAfterMs: base.notAfterMs + 1 };
  const earlier = { ...base, notBeforeMs: base.notBeforeMs - 1 };
  const other = { ...base, pcrs: new Map([...base.pcrs, [3, digestOf('x')] as const]) };
  for (const [why, entry] of [
    ['longer', longer],
    ['earlier', earlier],
    ['other tuple', other],
  ] as const) {
    const book = bookWithA();
    t.equal(book.offerReleases(setBytes(2, [entry]), NOW_MS), 'pending', why);
  }
  const shorter = { ...base, notAfterMs: base.notAfterMs - 1, release: 'renamed' };
  t.equal(bookWithA().offerReleases(setBytes(2, [shorter]), NOW_MS), 'in-force', 'shorter life');
});

t.test('an older version is refused, for good', async (t) => {
  const book = bookWithA();
  book.offerRecord(recordBytes(3));
  book.offerReleases(setBytes(5, [engineEntry('B')]), NOW_MS);
  for (const loaded of [book, GovernanceBook.load(book.serialise(), { charter: CHARTER })]) {
    t.throws(() => loaded.offerReleases(setBytes(4, [engineEntry('A')]), NOW_MS), {
      code: 'PRECONDITION_FAILED',
      facts: { version: 4, seen: 5 },
    });
    t.throws(() => loaded.offerRecord(recordBytes(2)), { code: 'PRECONDITION_FAILED', facts: { seen: 3 } });
  }
});

t.test('another object of the same version is refused, and both digests are named', async (t) => {
  const book = bookWithA();
  const one = signedSet({ version: 1, network: MAINNET, entries: [engineEntry('A')] });
  const two = signedSet({ version: 1, network: MAINNET, entries: [engineEntry('Z')] });
  const error = thrownBy(() => book.offerReleases(encodeSigned(two), NOW_MS));
  t.match(error, {
    code: 'ALREADY_EXISTS',
    facts: { digest: toHex(bodyDigest(two)), seenDigest: toHex(bodyDigest(one)) },
  });
  t.throws(() => book.offerRecord(recordBytes(1, { authorizationPolicy: 'other' })), { code: 'ALREADY_EXISTS' });
  t.same(trusted(book, NOW_MS), ['A']);
});

t.test('a set needs release keys and governance; what is missing is said, and the book stays as it was', async (t) => {
  const book = bookWithA();
  const before = book.serialise();
  const unsigned = makeReleaseSet({ version: 2, network: MAINNET, entries: [engineEntry('B')] });
  const byTwo = RELEASE.slice(0, 2).reduce((sum, key) => signReleaseSet(sum, key), unsigned);
  t.throws(() => book.offerReleases(encodeSigned(byTwo), NOW_MS), {
    code: 'PERMISSION_DENIED',
    message: /3 of 4 release keys, has 2/,
  });
  const byAll = RELEASE.reduce((sum, key) => signReleaseSet(sum, key), unsigned);
  const error = thrownBy(() => book.offerReleases(encodeSigned(byAll), NOW_MS));
  t.match(error, { code: 'APPROVAL_MISSING', message: /needs 3 governance signatures/ });
  const approvedTwice = GOVERNANCE.slice(0, 2).reduce((sum, key) => withApproval('release-set', sum, key), byAll);
  t.throws(() => book.offerReleases(encodeSigned(approvedTwice), NOW_MS), { code: 'APPROVAL_MISSING' });
  t.same(book.serialise(), before);
});

t.test('approvals may come with the set or as a proposal', async (t) => {
  const book = bookWithA();
  const unsigned = makeReleaseSet({ version: 2, network: MAINNET, entries: [engineEntry('B')] });
  const set = RELEASE.slice(0, 3).reduce((sum, key) => signReleaseSet(sum, key), unsigned);
  const proposal = { network: MAINNET, kind: 'release-set', digest: bodyDigest(set) } as const;
  const offer = (keys: typeof GOVERNANCE) => {
    const approvals = keys.reduce<ReturnType<typeof withSignature>>(
      (list, key) => withSignature(list, approve(proposal, key)),
      [],
    );
    return book.offerProposal(encodeSigned({ ...unsignedProposal(proposal), approvals }));
  };
  t.equal(offer(GOVERNANCE.slice(0, 2)), 'pending');
  t.throws(() => book.offerReleases(encodeSigned(set), NOW_MS), { code: 'APPROVAL_MISSING' });
  t.equal(offer(GOVERNANCE.slice(2, 3)), 'in-force');
  t.equal(book.offerReleases(encodeSigned(set), NOW_MS), 'pending');
  t.equal(present(book.pending).set.approvals.length, 3, 'a peer gets them with the set');
});

t.test('a new record with other release keys drops a set that waits, not the one in force', async (t) => {
  const book = bookWithA();
  const waiting = setBytes(2, [engineEntry('B')]);
  book.offerReleases(waiting, NOW_MS);
  const rotated = ['n1', 'n2', 'n3', 'n4'].map(keyOf);
  book.offerRecord(recordBytes(2, { releaseKeys: rotated.map(rawPublicKey) }));
  t.equal(book.pending, undefined);
  t.same(trusted(book, NOW_MS + 2 * RELEASE_DELAY_MS), ['A']);
  t.throws(() => book.offerReleases(waiting, NOW_MS), { code: 'PERMISSION_DENIED' }, 'old keys sign nothing more');
  const body = signedSet({ version: 2, network: MAINNET, entries: [engineEntry('B')] });
  const again = rotated.slice(0, 3).reduce((sum, key) => signReleaseSet(sum, key), body);
  t.equal(book.offerReleases(encodeSigned(again), NOW_MS), 'pending', 'the same set, signed by the new keys');
});

t.test('a set in force that is signed anew by rotated keys is kept with the new signatures', async (t) => {
  const book = bookWithA();
  const rotated = keyOf('new');
  book.offerRecord(recordBytes(2, { releaseKeys: [rawPublicKey(rotated)] }));
  const again = signReleaseSet(signedSet({ version: 1, network: MAINNET, entries: [engineEntry('A')] }), rotated);
  t.equal(book.offerReleases(encodeSigned(again), NOW_MS), 'known');
  t.same(
    present(book.releases).signatures.map(({ key }) => toHex(key)),
    [toHex(rawPublicKey(rotated))],
  );
});

t.test(
  'a change outside of governed objects needs m signatures over its proposal, and the error names it',
  async (t) => {
    const book = new GovernanceBook({ charter: CHARTER });
    const digest = digestOf('a new context');
    const error = thrownBy(() => book.requireApproval('context', digest));
    t.match(error, { code: 'APPROVAL_MISSING', facts: { kind: 'context', signatures: 0, needed: 3 } });
    const [asked] = book.proposals;
    const named = isKmsError(error) ? error.facts.proposalDigest : undefined;
    t.equal(toHex(present(asked).proposalDigest), named, 'what was asked for is listed');
    const proposal = { network: MAINNET, kind: 'context', digest } as const;
    const sign = (key: (typeof GOVERNANCE)[number]) =>
      encodeSigned({ ...unsignedProposal(proposal), approvals: [approve(proposal, key)] });
    for (const key of GOVERNANCE.slice(0, 2)) {
      t.equal(book.offerProposal(sign(key)), 'pending');
      t.equal(book.offerProposal(sign(key)), 'known', 'the same key counts once');
    }
    t.throws(() => book.requireApproval('context', digest), { code: 'APPROVAL_MISSING', facts: { signatures: 2 } });
    t.throws(() => book.offerProposal(sign(keyOf('stranger'))), { code: 'PERMISSION_DENIED' });
    t.equal(book.offerProposal(sign(present(GOVERNANCE[3]))), 'in-force');
    book.requireApproval('context', digest);
    t.notOk(book.isApproved('epoch', digest), 'an approval is of one kind');
    t.notOk(book.isApproved('context', digestOf('another')), 'and of one subject');
    const loaded = GovernanceBook.load(book.serialise(), { charter: CHARTER });
    t.ok(loaded.isApproved('context', digest), 'and survives a restart');
  },
);

t.test('in developer mode the local key approves by itself, and sets hold at once', async (t) => {
  const book = new GovernanceBook({ charter: DEV_CHARTER, localKey: DEV_KEY });
  book.requireApproval('context', digestOf('c'));
  t.ok(book.isApproved('context', digestOf('c')));
  const { network } = DEV_CHARTER;
  const record = signedRecord(
    { ...recordFields(), network, eip712Domains: undefined, releaseKeys: [rawPublicKey(DEV_KEY)] },
    [DEV_KEY],
  );
  book.offerRecord(encodeSigned(record));
  for (const version of [1, 2]) {
    const entry = engineEntry(`v${version}`, { platform: 'developer' });
    const set = signReleaseSet(makeReleaseSet({ version, network, entries: [entry] }), DEV_KEY);
    t.equal(book.offerReleases(encodeSigned(set), NOW_MS), 'in-force', `set ${version}`);
  }
  t.same(trusted(book, NOW_MS), ['v2']);
  t.throws(() => new GovernanceBook({ charter: CHARTER, localKey: DEV_KEY }), { code: 'CONFIG_INVALID' });
});
