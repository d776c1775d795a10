/** What it costs to verify a document: with the whole chain, and with a chain that is known from the one before. */
import { makeDeveloperRoot, makeSigningChain } from '../../attestation/developer/chain.ts';
import { signDocument } from '../../attestation/developer/sign-document.ts';
import { ChainCache, explainDocument, verifyLiveDocument } from '../../attestation/document/index.ts';
import type { Bench } from './decryption.ts';

const REPEATS = 300;
const WARM_UP = 30;
/** Of one document whose chain is new to the verifier. */
const GOAL_P50_MS = 5;
const MODULE_ID = 'i-0123456789abcdef0-enc0123456789abcdef';

/** Measures verification and explanation one at a time, by the clock. Needs no party. */
export async function measureAttestation({ figures, say }: Pick<Bench, 'figures' | 'say'>): Promise<void> {
  const nowMs = Date.now();
  const root = makeDeveloperRoot({ nowMs });
  const anchor = { name: 'bench', certificate: root.certificate };
  const chain = makeSigningChain(root, { nowMs, moduleId: MODULE_ID });
  const pcrs = new Map(Array.from({ length: 16 }, (_, index) => [index, new Uint8Array(48).fill(index + 1)]));
  const userData = new Uint8Array(48);
  const sign = () =>
    signDocument({ chain, platform: 'enclave', moduleId: MODULE_ID, timestampMs: nowMs, pcrs, userData });
  const document = sign();
  const cache = new ChainCache();
  const add = (name: string, times: readonly number[], goal?: number) => {
    const p50 = times[Math.floor(times.length / 2)] ?? 0;
    const p99 = times[Math.floor(times.length * 0.99)] ?? 0;
    figures.add({ name: `${name}.p50Ms`, value: p50, unit: 'ms', ...(goal === undefined ? {} : { goal }) });
    figures.add({ name: `${name}.p99Ms`, value: p99, unit: 'ms' });
    say(`${name}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`);
  };
  add('attestation.verify', await sortedTimes(() => verifyLiveDocument(document, { anchor, nowMs })), GOAL_P50_MS);
  add('attestation.verifyKnownChain', await sortedTimes(() => verifyLiveDocument(document, { anchor, nowMs, cache })));
  const time = { kind: 'live', nowMs } as const;
  add('attestation.explain', await sortedTimes(() => explainDocument(document, { anchor, time })));
  add('attestation.sign', await sortedTimes(async () => sign()));
}

/** Milliseconds of each run, shortest first. */
async function sortedTimes(work: () => Promise<unknown>): Promise<number[]> {
  for (let i = 0; i < WARM_UP; i++) await work();
  const times: number[] = [];
  for (let i = 0; i < REPEATS; i++) {
    const before = performance.now();
    await work();
    times.push(performance.now() - before);
  }
  return times.sort((a, b) => a - b);
}
