/** The memory behind co-approval: counts, bounds, and what is forgotten. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { ApprovalBook } from '../../../enclave/threshold/approval-book.ts';
import { DEFAULT_LIMITS, type QuorumLimits } from '../../../enclave/threshold/quorum-limits.ts';
import type { RequestKind, RequestName } from '../../../enclave/threshold/request-name.ts';

function hash(text: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(text).digest());
}

function named(id: string, content = id, kind: RequestKind = 'public'): RequestName {
  return { kind, id: hash(`id ${id}`), digest: hash(`digest ${kind} ${content}`) };
}

function book(limits: Partial<QuorumLimits> = {}): ApprovalBook {
  return new ApprovalBook({ me: 1, t: 1, limits: { ...DEFAULT_LIMITS, ...limits } });
}

t.test('2t + 1 parties approve, this one included, each counted once', async (t) => {
  const own = book();
  const { request } = own.begin(named('a'), 0);
  t.notOk(own.isApproved(request));
  for (let i = 0; i < 3; i++) own.hear(2, named('a'), i);
  t.notOk(own.isApproved(request), 'one peer, however often');
  own.hear(3, named('a', 'other'), 4);
  t.notOk(own.isApproved(request), 'another digest counts nothing');
  own.hear(3, named('a'), 5);
  t.ok(own.isApproved(request));
});

t.test('peers alone approve nothing: this engine must have been asked', async (t) => {
  const own = book();
  for (const party of [2, 3, 4]) t.same(own.hear(party, named('a'), 0), { what: 'early' });
  t.equal(own.own(named('a').digest), undefined);
  const { request } = own.begin(named('a'), 1);
  t.ok(own.isApproved(request), 'and then what came early counts');
  t.equal(own.earlyOf(2), 0);
});

t.test('another digest under a known id is told once a peer and digest, whoever came first', async (t) => {
  const own = book();
  own.hear(2, named('a', 'other'), 0);
  t.same(own.begin(named('a'), 1).others, [2]);
  t.equal(own.hear(3, named('a', 'third'), 2).what, 'another');
  t.equal(own.hear(3, named('a', 'third'), 3).what, 'early', 'it is known by now');
  t.equal(own.hear(3, named('a', 'a', 'user'), 4).what, 'early', 'ids of users are apart');
  t.throws(() => own.begin(named('a', 'other'), 5), { code: 'ALREADY_EXISTS' });
});

t.test('a flooder pushes out his own announcements and no other', async (t) => {
  const own = book({ earlyPerPeer: 100 });
  own.hear(2, named('wanted'), 0);
  own.hear(3, named('wanted'), 0);
  for (let i = 0; i < 10_000; i++) own.hear(4, named(`flood ${i}`), i);
  own.hear(3, named('wanted'), 10_000);
  t.equal(own.earlyOf(4), 100);
  t.same([...own.begin(named('wanted'), 10_001).request.announcedBy].sort(), [1, 2, 3]);
});

t.test('one digest under ever new ids is one announcement, kept under the last id', async (t) => {
  const own = book();
  const { digest } = named('same');
  for (let i = 0; i <= 1_000; i++) own.hear(4, { kind: 'public', id: hash(`id flood ${i}`), digest }, i);
  t.equal(own.earlyOf(4), 1);
  t.same(own.begin(named('flood 0'), 1_001).others, [], 'ids that it came under before are forgotten');
  t.same(own.begin(named('flood 1000'), 1_001).others, [4]);
  t.same([...own.begin({ kind: 'public', id: hash('id own'), digest }, 1_002).request.announcedBy], [1, 4]);
  t.same(own.begin(named('flood 1000', 'again', 'user'), 1_003).others, []);
});

t.test('ended requests are remembered for a while and within bounds, waiting ones as long as they wait', async (t) => {
  const forgotten: string[] = [];
  const own = book({ maxEnded: 2, keepEndedMs: 1000, maxPending: 3 });
  own.onForget = ({ key }) => forgotten.push(key);
  const requests = ['a', 'b', 'c'].map((id) => own.begin(named(id), 0).request);
  t.throws(() => own.begin(named('d'), 0), { code: 'RESOURCE_EXHAUSTED' });
  for (const request of requests) own.end(request, 10);
  t.same(forgotten, [requests[0]?.key], 'the oldest');
  t.equal(own.begin(named('b'), 500).isNew, false);
  t.equal(own.begin(named('b'), 1010).isNew, true, 'its time is over');
  t.equal(own.begin(named('a', 'new content'), 1011).isNew, true, 'and so the id is free');
  own.end(requests[0] as never, 2000);
  t.equal(own.size, 2, 'ending twice is no matter');
});

t.test('a request is found by its digest and by the tag of it', async (t) => {
  const own = book();
  const { request } = own.begin(named('a'), 0);
  t.equal(own.own(named('a').digest), request);
  t.equal(own.ownByTag(named('a').digest.subarray(0, 16)), request);
  t.equal(own.ownByTag(new Uint8Array(16)), undefined);
});
