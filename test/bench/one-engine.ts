/**
 * Program: one party's engine under load, its peers played by what they would send: for how much more it does on two
 * cores than on one. Prints decryptions per second. Started with its cores fixed by quorum-scaling.ts.
 */
import { AnswerSigner } from '../../enclave/sign/answer-signer.ts';
import { FaultLedger } from '../../enclave/threshold/fault-ledger.ts';
import { Quorum } from '../../enclave/threshold/quorum.ts';
import { quorumPublicDecryption } from '../../enclave/threshold/quorum-decryption.ts';
import { decodeFrame, encodeEntry, encodeFrame, tagOf } from '../../enclave/threshold/quorum-frame.ts';
import { type QuorumListener, systemQuorumTimers } from '../../enclave/threshold/quorum-links.ts';
import {
  blake3,
  keccak256,
  NodeKey,
  openDecryption,
  partialDecrypt,
  useBatchScheduling,
} from '../../native/engine/index.ts';
import { partialInput, thresholdParties } from '../helpers/threshold-keys.ts';
import { uniqueBodies } from './quorum-alone.ts';
import { benchCiphertexts, readBenchKey } from './quorum-party.ts';
import { publicRequest } from './quorum-requests.ts';

useBatchScheduling();
const [N, T] = [4, 1];
const ME = 1;
const EUINT64 = 5;
const IN_FLIGHT = 64;
const WARM_UP_SECONDS = 4;
const [folder, params, seconds] = process.argv.slice(2);
if (!folder || (params !== 'default' && params !== 'test') || !seconds) throw new Error('FOLDER PARAMS SECONDS');

const key = await readBenchKey(params);
const { euint64 } = await benchCiphertexts(params, () => undefined);
const item = { ciphertext: euint64, fheType: EUINT64, format: 2 };
const parties = thresholdParties({ teardown: () => undefined }, key, N, T);
const shares = new Map<number, Uint8Array>();
for (const party of parties) {
  const [own] = await partialDecrypt(partialInput(party, [item]));
  if (own) shares.set(party.party, own);
}

let listener: QuorumListener | undefined;
/** What a peer answers: the same announcements, and its share, which is always the same one. */
function answerOf(peer: number, frame: Uint8Array): Uint8Array {
  const entries = decodeFrame(frame).flatMap((entry) => {
    if (entry.what !== 'announce') return [];
    const mine = {
      what: 'shares',
      tag: tagOf(entry.name.digest),
      shares: shares.get(peer) ?? new Uint8Array(),
    } as const;
    return [encodeEntry(entry), encodeEntry(mine)];
  });
  return entries.length === 0 ? new Uint8Array() : encodeFrame(entries);
}

const quorum = new Quorum({
  me: ME,
  n: N,
  t: T,
  links: {
    send: async (to, frame) => {
      const answer = answerOf(to, frame);
      if (answer.byteLength > 0) setImmediate(() => listener?.onFrame(to, answer));
    },
    drop: () => undefined,
    listen: (given) => {
      listener = given;
      return () => undefined;
    },
  },
  timers: systemQuorumTimers(() => performance.now()),
  open: openDecryption,
  ledger: new FaultLedger(() => performance.now()),
});
const [own] = parties;
if (!own) throw new Error('a quorum has parties');
const decrypt = quorumPublicDecryption({
  signer: new AnswerSigner(NodeKey.generate(), keccak256).inBatches(),
  hashCiphertext: blake3,
  treatV0ExtraDataAsEmpty: true,
  policy: { name: 'any', authorize: () => undefined },
  key: () => ({
    party: ME,
    t: T,
    quorum,
    partialDecrypt: (items) => partialDecrypt(partialInput(own, items)),
    userShares: async () => [],
  }),
});
const nextBody = uniqueBodies(publicRequest(folder, '01'.repeat(32), item));
const { signal } = new AbortController();
const context = {
  evidence: new Uint8Array(),
  signal,
  report: () => undefined,
  objects: { store: async () => undefined },
};

async function run(endMs: number): Promise<number> {
  let done = 0;
  const worker = async (): Promise<void> => {
    let body: Buffer | undefined;
    while (performance.now() < endMs) {
      body = nextBody(body);
      await decrypt({ ...context, body });
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return done;
}

await run(performance.now() + WARM_UP_SECONDS * 1000);
const started = performance.now();
const calls = await run(started + Number(seconds) * 1000);
process.stdout.write(`${(calls / (performance.now() - started)) * 1000}\n`);
process.exit(0);
