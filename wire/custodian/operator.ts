/**
 * The operator's side of custodian backups: sharing the backup key, and getting it back from the custodians' answers.
 * SECRET: the backup key and its shares. Spec: kms-service 7.4.
 */
import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { RandomSource } from '../../common/random.ts';
import { HASH_TAG } from '../hash.ts';
import type { RequestId } from '../ids.ts';
import { addressOfCompressedKey } from '../signatures.ts';
import {
  type BackupMaterial,
  backupCommitment,
  decodeBackupMaterial,
  encodeBackupMaterial,
} from './backup-material.ts';
import type { Encapsulate } from './hybrid.ts';
import { type CustodianContext, checkContext, type RecoveryMaterial } from './recovery-material.ts';
import type { RecoveryOutput } from './recovery-request.ts';
import { reconstructSecret, shareSecret } from './sharing.ts';
import { type Signer, signcryptFor, unsigncryptFrom } from './signcryption.ts';

/** What the sharing of a backup key needs. */
export interface ShareBackupKey {
  readonly context: CustodianContext;
  readonly mpcContextId: RequestId;
  /** SECRET: stored form of the private backup key. The caller wipes it. */
  readonly secret: Uint8Array;
  /** The node's key. */
  readonly signer: Signer;
  readonly random: RandomSource;
  readonly encapsulate?: Encapsulate;
}

/** Why the answer of a custodian is not used. */
export interface SkippedOutput {
  readonly custodianRole: number;
  readonly reason: string;
}

/** The backup key, and whose answers did not help. */
export interface RecoveredKey {
  /** SECRET: what was shared, in an ArrayBuffer of its own. The caller wipes it. */
  readonly secret: Uint8Array;
  readonly used: readonly number[];
  readonly skipped: readonly SkippedOutput[];
}

/**
 * Shares a backup key among the custodians of a context.
 *
 * @returns The recovery material, for the node to sign and store.
 * @throws {@link KmsError} `REQUEST_INVALID` for a context that does not fit together.
 */
export function shareBackupKey(args: ShareBackupKey): RecoveryMaterial {
  const { context, mpcContextId, signer, random } = args;
  checkContext(context);
  const shape = { custodians: context.custodians.size, threshold: context.threshold };
  const shares = shareSecret(args.secret, shape, random);
  const ciphertexts = new Map<number, Uint8Array>();
  const commitments = new Map<number, Uint8Array>();
  try {
    for (const [index, share] of shares.entries()) {
      const setup = context.custodians.get(index + 1);
      if (setup === undefined) throw new KmsError('REQUEST_INVALID', 'a custodian is missing', { role: index + 1 });
      const encoded = encodeBackupMaterial({
        backupId: context.contextId,
        mpcContextId,
        custodianKey: setup.verificationKey,
        custodianRole: setup.role,
        operatorKey: signer.publicKey,
        share,
      });
      try {
        const receiver = { address: addressOfCompressedKey(setup.verificationKey), ek: setup.ek };
        const tag = HASH_TAG.backupToCustodian;
        ciphertexts.set(setup.role, signcryptFor(receiver, tag, encoded, signer, random, args.encapsulate));
        commitments.set(setup.role, backupCommitment(encoded));
      } finally {
        encoded.fill(0);
      }
    }
  } finally {
    for (const share of shares) share.fill(0);
  }
  return { ciphertexts, commitments, context, mpcContextId };
}

/**
 * Gives back the backup key from the answers of at least t + 1 custodians. An answer that is not for this material,
 * of this custodian, or the share that was committed to, is left out and told.
 *
 * @param operatorKey - The node's compressed key, as in the recovery material's signature.
 * @param ephemeralKey - Private half of the request's key.
 * @throws {@link KmsError} `REQUEST_INVALID` if too few answers are left; its message says why each was left out.
 */
export function recoverBackupKey(
  material: RecoveryMaterial,
  operatorKey: Uint8Array,
  ephemeralKey: KeyObject,
  outputs: readonly RecoveryOutput[],
): RecoveredKey {
  const shares = new Map<number, Uint8Array>();
  const skipped: SkippedOutput[] = [];
  try {
    for (const output of outputs) {
      const { custodianRole } = output;
      try {
        if (shares.has(custodianRole)) throw skip('a second answer of the same custodian');
        shares.set(custodianRole, openOutput(material, operatorKey, ephemeralKey, output));
      } catch (error) {
        if (!(error instanceof KmsError)) throw error;
        skipped.push({ custodianRole, reason: error.message });
      }
    }
    const need = material.context.threshold + 1;
    if (shares.size < need) {
      const why = skipped.map(({ custodianRole, reason }) => `\n  custodian ${custodianRole}: ${reason}`).join('');
      throw new KmsError('REQUEST_INVALID', `needs the answers of ${need} custodians, has ${shares.size}${why}`, {
        need,
        have: shares.size,
        skipped: skipped.length,
      });
    }
    const secret = reconstructSecret(shares, material.context.threshold);
    return { secret, used: [...shares.keys()].sort((a, b) => a - b), skipped };
  } finally {
    for (const share of shares.values()) share.fill(0);
  }
}

/** Returns the share in an answer once every check has passed. */
function openOutput(
  { context, commitments, mpcContextId }: RecoveryMaterial,
  operatorKey: Uint8Array,
  ephemeralKey: KeyObject,
  { custodianRole, signcryption }: RecoveryOutput,
): Uint8Array {
  const setup = context.custodians.get(custodianRole);
  const commitment = commitments.get(custodianRole);
  if (setup === undefined || commitment === undefined) throw skip('no custodian of this context has this number');
  const receiver = { address: addressOfCompressedKey(operatorKey), privateKey: ephemeralKey };
  const encoded = unsigncryptFrom(setup.verificationKey, HASH_TAG.backupRecovery, signcryption, receiver);
  try {
    const found = decodeBackupMaterial(encoded);
    const faults = faultsOf(found, {
      backupId: context.contextId,
      mpcContextId,
      custodianKey: setup.verificationKey,
      custodianRole,
      operatorKey,
    });
    if (!equalBytes(backupCommitment(encoded), commitment)) faults.push('its share is not the one that was given');
    if (faults.length === 0) return found.share;
    found.share.fill(0);
    throw skip(faults.join(', '));
  } finally {
    encoded.fill(0);
  }
}

/** Returns everything in which a share's labels differ from what is expected, for people. */
export function faultsOf(found: BackupMaterial, expected: Omit<BackupMaterial, 'share'>): string[] {
  const faults = [];
  if (found.backupId !== expected.backupId) faults.push('it is of another custodian context');
  if (found.mpcContextId !== expected.mpcContextId) faults.push('it is of another MPC context');
  if (found.custodianRole !== expected.custodianRole) faults.push('it bears the number of another custodian');
  if (!equalBytes(found.custodianKey, expected.custodianKey)) faults.push('it names the key of another custodian');
  if (!equalBytes(found.operatorKey, expected.operatorKey)) faults.push('it names the key of another node');
  return faults;
}

function skip(reason: string): KmsError {
  return new KmsError('REQUEST_INVALID', reason);
}
