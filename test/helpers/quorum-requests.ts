/** Requests to a simulated quorum, as each party's own Core would pass them on. */
import { createHash } from 'node:crypto';
import type { MaskedItems } from '../../enclave/threshold/masked-blocks.ts';
import type { RequestKind, RequestName } from '../../enclave/threshold/request-name.ts';
import type { CiphertextItem } from '../../native/engine/index.ts';
import { fakePlaintext } from './fake-threshold.ts';
import type { SimParty } from './sim-quorum.ts';

/** A request that is asked at many parties. */
export interface SimRequest {
  readonly name: RequestName;
  readonly masked: MaskedItems;
  readonly items: readonly CiphertextItem[];
  readonly plaintexts: readonly Uint8Array[];
}

const EUINT64 = 5;
const EUINT64_BLOCKS = 16;
const BIG_COMPRESSED = 2;

/** Makes request number `number`; `content` stands for what else is in it. */
export function simRequest(
  number: number,
  options: { kind?: RequestKind; items?: number; content?: string } = {},
): SimRequest {
  const { kind = 'public', items: count = 1, content = '' } = options;
  const id = new Uint8Array(createHash('sha256').update(`id ${number}`).digest());
  const items = Array.from({ length: count }, (_, i) => ({
    ciphertext: new Uint8Array(Buffer.from(`ciphertext ${number} ${i} ${content}`)),
    fheType: EUINT64,
    format: BIG_COMPRESSED,
  }));
  const digest = new Uint8Array(createHash('sha256').update(`${kind} ${number} ${content}`).digest());
  const plaintexts = items.map(({ ciphertext, fheType }) => fakePlaintext(ciphertext, fheType));
  const masked = items.map((_, i) => ({ key: `${number} ${i} ${content}`, blocks: EUINT64_BLOCKS }));
  return { name: { kind, id, digest }, masked: { epochId: 'epoch', keyId: 'key', items: masked }, items, plaintexts };
}

/** Asks one party for everyone. */
export function askPublic(
  { quorum, partialDecrypt }: SimParty,
  { name, masked, items }: SimRequest,
  signal: AbortSignal = new AbortController().signal,
): Promise<Uint8Array[]> {
  return quorum.publicDecrypt({ name, masked, items, partialDecrypt }, signal);
}

/** Asks one party for a user; what the user gets is the party's share itself. */
export function askUser(
  { quorum, partialDecrypt }: SimParty,
  { name, masked, items }: SimRequest,
  signal: AbortSignal = new AbortController().signal,
): Promise<Uint8Array[]> {
  return quorum.userDecrypt({ name, masked, items, seal: partialDecrypt }, signal);
}
