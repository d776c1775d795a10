/** Requests under an epoch that is destroyed: they fail, and nothing of them is kept or leaves the engine any more. */
import t from 'tap';
import { FaultLedger } from '../../enclave/threshold/fault-ledger.ts';
import { Quorum } from '../../enclave/threshold/quorum.ts';
import { decodeFrame, encodeEntry, encodeFrame, type QuorumEntry } from '../../enclave/threshold/quorum-frame.ts';
import type { QuorumListener } from '../../enclave/threshold/quorum-links.ts';
import { fakeOpenDecryption, fakePartialDecrypt } from '../helpers/fake-threshold.ts';
import { type SimRequest, simRequest } from '../helpers/quorum-requests.ts';

const never = new AbortController().signal;

/** One engine of four, whose peers are played by the test. */
function engine() {
  const sent: QuorumEntry[] = [];
  let listener: QuorumListener | undefined;
  const quorum = new Quorum({
    me: 1,
    n: 4,
    t: 1,
    links: {
      send: async (_, frame) => void sent.push(...decodeFrame(frame)),
      drop: () => undefined,
      listen: (given) => {
        listener = given;
        return () => undefined;
      },
    },
    timers: { monotonicMs: () => 0, at: () => () => undefined, soon: setImmediate },
    open: fakeOpenDecryption,
    ledger: new FaultLedger(() => 0),
  });
  const hears = (from: number, ...entries: QuorumEntry[]): void =>
    listener?.onFrame(from, encodeFrame(entries.map(encodeEntry)));
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  const approve = ({ name }: SimRequest): void => {
    for (const party of [2, 3, 4]) {
      hears(party, { what: 'announce', name }, { what: 'want', digest: name.digest, wanted: 'shares' });
    }
  };
  const shares = (): number => sent.filter(({ what }) => what === 'shares').length;
  return { quorum, settle, approve, shares };
}

t.test('a decryption that waits fails, and is not approved afterwards', async (t) => {
  const { quorum, settle, approve, shares } = engine();
  const { name, masked, items } = simRequest(1);
  const kept = simRequest(2);
  const answer = quorum.publicDecrypt({ name, masked, items, partialDecrypt: fakePartialDecrypt(1) }, never);
  const other = { ...kept.masked, epochId: 'another epoch' };
  const goesOn = quorum.publicDecrypt({ ...kept, masked: other, partialDecrypt: fakePartialDecrypt(1) }, never);
  goesOn.catch(() => undefined);
  await settle();
  t.ok(quorum.stats().keptSharesBytes > 0);
  quorum.forgetEpoch(masked.epochId);
  await t.rejects(answer, { code: 'NOT_FOUND', message: 'the epoch was destroyed' });
  approve(simRequest(1));
  await settle();
  t.equal(shares(), 0);
  t.equal(quorum.stats().pending, 1, 'requests of other epochs wait on');
  approve(kept);
  await settle();
  t.equal(shares(), 3);
  quorum.close();
});

t.test('shares that are being made, or were given before, leave no more', async (t) => {
  const { quorum, settle, approve, shares } = engine();
  const { name, masked, items } = simRequest(1);
  const made = Promise.withResolvers<void>();
  const partial = fakePartialDecrypt(1);
  const slow: typeof partial = async (of) => {
    await made.promise;
    return await partial(of);
  };
  const answer = quorum.publicDecrypt({ name, masked, items, partialDecrypt: slow }, never);
  const given = simRequest(2);
  const before = quorum.publicDecrypt({ ...given, partialDecrypt: partial }, never);
  before.catch(() => undefined);
  approve(simRequest(1));
  approve(given);
  await settle();
  t.equal(shares(), 3, 'of the one whose shares are made');
  quorum.forgetEpoch(masked.epochId);
  made.resolve();
  await t.rejects(answer, { code: 'NOT_FOUND' });
  approve(simRequest(1));
  approve(given);
  await settle();
  t.equal(shares(), 3);
  const { keptSharesBytes, remembered, pending } = quorum.stats();
  t.same({ keptSharesBytes, remembered, pending }, { keptSharesBytes: 0, remembered: 0, pending: 0 });
  quorum.close();
});

t.test('what a user would get is not handed out, though the quorum has approved it', async (t) => {
  const { quorum, settle, approve } = engine();
  const { masked, items, ...request } = simRequest(1);
  const name = { ...request.name, kind: 'user' as const };
  const sealed = Promise.withResolvers<string[]>();
  const answer = quorum.userDecrypt({ name, masked, items, seal: () => sealed.promise }, never);
  answer.catch(() => undefined);
  approve({ ...request, name, masked, items });
  await settle();
  quorum.forgetEpoch(masked.epochId);
  sealed.resolve(['a share']);
  await t.rejects(answer, { code: 'NOT_FOUND' });
  quorum.close();
});

t.test('an opening of zero that waits ends, and the same epoch made anew has one of its own', async (t) => {
  const { quorum, settle } = engine();
  const { name, masked } = simRequest(1);
  const check = (digest: Uint8Array): Promise<void> => {
    const zeroShares = async (): Promise<Uint8Array> => new Uint8Array(64);
    const named = { kind: 'zero', id: name.id, digest } as const;
    return quorum.checkEpoch({ name: named, epochId: masked.epochId, zeroShares, openZeros: () => [] }, never);
  };
  const first = check(name.digest);
  await settle();
  quorum.forgetEpoch(masked.epochId);
  await t.rejects(first, { code: 'NOT_FOUND' });
  const second = check(new Uint8Array(32).fill(7));
  quorum.close();
  await t.rejects(second, { code: 'UNAVAILABLE' }, 'it waited, and is none that was there before');
});
