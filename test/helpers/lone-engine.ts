/** The quorum of one engine, whose peers are the test. */
import { FaultLedger, type QuorumFault } from '../../enclave/threshold/fault-ledger.ts';
import { Quorum } from '../../enclave/threshold/quorum.ts';
import { decodeFrame, encodeEntry, encodeFrame, type QuorumEntry } from '../../enclave/threshold/quorum-frame.ts';
import type { QuorumLimits } from '../../enclave/threshold/quorum-limits.ts';
import type { QuorumListener } from '../../enclave/threshold/quorum-links.ts';
import { fakeOpenDecryption, fakePartialDecrypt } from './fake-threshold.ts';
import type { SimRequest } from './quorum-requests.ts';

const N = 4;
const T = 1;

/** One engine whose peers are played by the test. */
export function engine(limits: Partial<QuorumLimits> = {}) {
  const sent: { readonly to: number; readonly entry: QuorumEntry }[] = [];
  const dropped: number[] = [];
  const faults: QuorumFault[] = [];
  const due: (() => void)[] = [];
  const time = { nowMs: 0 };
  let listener: QuorumListener | undefined;
  let takes = true;
  const never = new Promise<void>(() => undefined);
  const quorum = new Quorum({
    me: 1,
    n: N,
    t: T,
    links: {
      send: (to, frame) => {
        for (const entry of decodeFrame(frame)) sent.push({ to, entry });
        return takes ? Promise.resolve() : never;
      },
      drop: (party) => dropped.push(party),
      listen: (given) => {
        listener = given;
        return () => undefined;
      },
    },
    timers: { monotonicMs: () => time.nowMs, at: () => () => undefined, soon: (callback) => due.push(callback) },
    open: fakeOpenDecryption,
    ledger: new FaultLedger(
      () => time.nowMs,
      (fault) => faults.push(fault),
    ),
    limits,
  });
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      for (const callback of due.splice(0)) callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return {
    quorum,
    sent,
    dropped,
    faults,
    time,
    settle,
    stopTaking: () => {
      takes = false;
    },
    hears: (from: number, ...entries: QuorumEntry[]) => listener?.onFrame(from, encodeFrame(entries.map(encodeEntry))),
    hearsBytes: (from: number, frame: Uint8Array) => listener?.onFrame(from, frame),
    connects: (party: number) => listener?.onConnected(party),
    ask: ({ name, masked, items }: SimRequest) => {
      const answer = quorum.publicDecrypt(
        { name, masked, items, partialDecrypt: fakePartialDecrypt(1) },
        new AbortController().signal,
      );
      answer.catch(() => undefined);
      return answer;
    },
  };
}

/** What a peer says that was asked the request. */
export const announce = ({ name }: SimRequest): QuorumEntry => ({ what: 'announce', name });

/** What a peer asks of the engine that it has missed. */
export const want = ({ name }: SimRequest, wanted: 'announcement' | 'shares'): QuorumEntry => ({
  what: 'want',
  digest: name.digest,
  wanted,
});

/** A peer's true shares of a request. */
export async function sharesOf(party: number, { name, items }: SimRequest): Promise<QuorumEntry> {
  const shares = Buffer.concat(await fakePartialDecrypt(party)(items));
  return { what: 'shares', tag: name.digest.subarray(0, 16), shares };
}
