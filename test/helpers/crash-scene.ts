/** What the clients of the crash test know: what was promised to them, what they have seen, and what must not be. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { toHex } from '../../common/bytes.ts';
import { STATUS } from '../../parent/grpc/status.ts';
import { PublicDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import type { CrashParty } from './crash-party.ts';
import { publicValue } from './party-answers.ts';
import type { TestUser } from './party-requests.ts';

/** What was promised or given, by kind. */
interface Ledger {
  /** Public decryptions that were acknowledged. */
  readonly publicIds: Set<string>;
  readonly userIds: Set<string>;
  /** Key generations that were acknowledged. */
  readonly keyIds: Set<string>;
  /** SHA-256 of each answer that a client has seen, by request id. */
  readonly answers: Map<string, string>;
  /** What must not happen. */
  readonly violations: string[];
}

/** A party under load, and what its clients know. */
export interface Scene {
  readonly party: CrashParty;
  readonly keyId: string;
  readonly signer: Uint8Array;
  readonly user: TestUser;
  readonly ciphertext: Uint8Array;
  readonly ledger: Ledger;
  readonly over: AbortSignal;
}

/** What every ciphertext of the test holds. */
export const VALUE = 0x0123_4567_89ab_cdefn;
/** Statuses that tell a client to try again, or that its connection broke. */
export const TRY_AGAIN: ReadonlySet<number> = new Set([
  STATUS.UNAVAILABLE,
  STATUS.CANCELLED,
  STATUS.RESOURCE_EXHAUSTED,
]);

/** Notes a public decryption that a client has seen, and checks it. */
export function seePublic(scene: Scene, id: string, response: Parameters<typeof publicValue>[0]): void {
  see(scene, id, toBinary(PublicDecryptionResponseSchema, response));
  if (publicValue(response, scene.signer) !== VALUE) scene.ledger.violations.push(`${id}: wrong value`);
}

/** Notes an answer that a client has seen: it must be the one that was seen before. */
export function see({ ledger }: Scene, id: string, encoded: Uint8Array): void {
  const digest = toHex(createHash('sha256').update(encoded).digest());
  const before = ledger.answers.get(id);
  if (before !== undefined && before !== digest) ledger.violations.push(`${id}: the answer has changed`);
  ledger.answers.set(id, digest);
}

/** Notes what a start was answered. */
export function note({ ledger }: Scene, ids: Set<string>, id: string, status: number): void {
  if (status === STATUS.OK) ids.add(id);
  else if (!TRY_AGAIN.has(status)) ledger.violations.push(`start: status ${status}`);
}

/** The file of a public object. */
export function objectFile({ dir }: CrashParty, type: string, id: string): string {
  return join(dir, 'public/PUB', type, id);
}
