/** What sealing and opening cost: a stream through the real path, beside libsodium's primitive alone in the same run. */
import { createHash } from 'node:crypto';
import { clearKeyring } from '../../enclave/seal/clear-keyring.ts';
import type { ObjectClaims } from '../../enclave/seal/object-claims.ts';
import { objectSigner } from '../../enclave/seal/object-signatures.ts';
import { openObject } from '../../enclave/seal/open-object.ts';
import { sealObject } from '../../enclave/seal/seal-object.ts';
import { CHUNK_BYTES, CHUNK_OVERHEAD, openSecretStream } from '../../enclave/seal/secret-stream.ts';
import { NodeKey } from '../../native/engine/index.ts';
import type { Bench } from './decryption.ts';

/** Content of one measurement: the size of an uncompressed production key set. */
const SIZE_BYTES = 2_500_000_000;
/** Part of it for the primitive alone, which has a constant speed. */
const ALONE_CHUNKS = 4096;
const GOAL_MB_PER_S = 400;
const GOAL_RSS_MB = 64;
const MB = 1e6;

const CLAIMS: ObjectClaims = {
  purpose: 'private-object',
  charterDigest: new Uint8Array(48).fill(1),
  party: 1,
  name: 'Bench/1',
  type: 'bench',
  keyId: undefined,
  contextId: undefined,
  epochId: undefined,
  parameters: undefined,
  version: 1,
};

/**
 * Seals a stream of gigabytes and opens what comes out of it at once; nothing is kept.
 *
 * @param sizeBytes - Content; a smaller one gives the same figures less steadily.
 */
export async function measureSealing(
  { figures, say }: Pick<Bench, 'figures' | 'say'>,
  sizeBytes = SIZE_BYTES,
): Promise<void> {
  using key = NodeKey.generate();
  const signer = objectSigner(key);
  const sealer = { signer, keyring: clearKeyring() };
  const alone = await primitiveAlone();
  const before = memoryMb();
  let most = before;
  const content = async function* (): AsyncGenerator<Uint8Array, void> {
    const piece = new Uint8Array(CHUNK_BYTES).fill(7);
    for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
      if (at % (CHUNK_BYTES * 64) === 0) most = Math.max(most, memoryMb());
      yield piece.subarray(0, Math.min(CHUNK_BYTES, sizeBytes - at));
    }
  };
  const sealing = await megabytesPerSecond(sizeBytes, async () => {
    for await (const part of sealObject(CLAIMS, content(), sealer, { sizeBytes })) part.at(0);
  });
  const both = await megabytesPerSecond(sizeBytes, async () => {
    const asked = { ...CLAIMS, signer: signer.publicKey, notBefore: 1 };
    await openObject(sealObject(CLAIMS, content(), sealer, { sizeBytes }), asked, sealer, async (pieces) => {
      for await (const piece of pieces) piece.at(0);
    });
  });
  const opening = 1 / (1 / both - 1 / sealing);
  const share = (value: number): string => `${((100 * value) / alone).toFixed(0)} % of the primitive alone`;
  const goal = Math.min(GOAL_MB_PER_S, 0.7 * alone);
  const add = (name: string, value: number, note: string): void =>
    figures.add({ name: `seal.${name}`, value, unit: 'per second', goal, note });
  figures.add({
    name: 'seal.primitive.megabytes',
    value: alone,
    unit: 'per second',
    note: 'libsodium secretstream, MB',
  });
  add('sealing.megabytes', sealing, `MB of CPU time, one core; ${share(sealing)}`);
  add('opening.megabytes', opening, `MB of CPU time, one core; ${share(opening)}`);
  const grown = most - before;
  const note = `seen while ${(sizeBytes / MB).toFixed(0)} MB passed`;
  figures.add({ name: 'seal.memory', value: grown, unit: 'MB', goal: GOAL_RSS_MB, note });
  say(
    `sealing ${sealing.toFixed(0)} MB/s, opening ${opening.toFixed(0)} MB/s of CPU time, ${share(sealing)} and ` +
      `${share(opening)} (${alone.toFixed(0)} MB/s); ${grown.toFixed(0)} MB of memory more`,
  );
}

/** Encryption alone, from memory of ours into memory of ours. */
async function primitiveAlone(): Promise<number> {
  const content = new Uint8Array(CHUNK_BYTES).fill(7);
  const sealed = new Uint8Array(CHUNK_BYTES + CHUNK_OVERHEAD);
  const bound = createHash('sha384').digest();
  const stream = await openSecretStream(new Uint8Array(32).fill(1), new Uint8Array(24));
  const speed = await megabytesPerSecond(ALONE_CHUNKS * CHUNK_BYTES, async () => {
    for (let i = 0; i < ALONE_CHUNKS; i++) stream.push(content, bound, false, sealed);
  });
  stream.close();
  return speed;
}

/** Speed by CPU time of the whole process, so that a busy machine tells the same. */
async function megabytesPerSecond(sizeBytes: number, work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return sizeBytes / MB / ((user + system) / 1e6);
}

const memoryMb = (): number => process.memoryUsage.rss() / MB;
