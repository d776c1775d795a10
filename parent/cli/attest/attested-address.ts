/**
 * The address that a node attests: what an answer's signer is compared with, so that no text file of the node's has to
 * be believed for who it is.
 */
import { ATTEST_NONCE_BYTES } from '../../../attestation/attest-facts.ts';
import { systemClock } from '../../../common/clock.ts';
import { isKmsError } from '../../../common/errors.ts';
import { systemRandom } from '../../../common/random.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import type { NodeSelection } from '../client/session.ts';
import { attestationUrlOf, fetchAttestation } from './fetch-attestation.ts';
import { judgeAttestation } from './judge.ts';
import { openTrust, type Trust } from './trust.ts';

/** What a node's attestation came to. */
export type AttestedAddress =
  /** The engine behind this address runs a trusted release, as of now. */
  | { readonly state: 'holds'; readonly address: string; readonly release: string; readonly developer: boolean }
  /** There is an attestation, and it is no good. */
  | { readonly state: 'fails'; readonly reason: string }
  /** None could be had, or nothing was named to judge it by: nothing is known. */
  | { readonly state: 'not available'; readonly reason: string };

/** Names what is trusted, beside a node of one's own. */
export interface AttestedOptions extends NodeSelection {
  readonly expect?: string | undefined;
  readonly root?: string | undefined;
}

const MAX_AGE_MS = 60_000;

/**
 * Fetches and judges the attestation of the selected node. A node on `--dir` is judged by its own folder's root, charter
 * and releases; one on `--url` by `--expect` and `--root`.
 *
 * @throws {@link KmsError} only for options that name files which cannot be used.
 */
export async function attestedAddress(options: AttestedOptions): Promise<AttestedAddress> {
  const named = options.expect !== undefined || options.root !== undefined;
  let trust: Trust;
  try {
    const dir = options.url === undefined ? options.dir : undefined;
    trust = await openTrust({ dir, expect: options.expect, root: options.root });
  } catch (error) {
    if (named || !isKmsError(error)) throw error;
    return notAvailable(error);
  }
  if (trust.measurements === undefined) {
    return { state: 'not available', reason: 'no trusted release was named: give --expect' };
  }
  const nonce = systemRandom(ATTEST_NONCE_BYTES.max / 2);
  try {
    const attestation = await fetchAttestation(await attestationUrlOf(options), nonce);
    const time = { kind: 'live', nowMs: systemClock.nowMs(), maxAgeMs: MAX_AGE_MS } as const;
    const { ok, facts, faults, explanation } = await judgeAttestation(attestation, trust, { time, nonce });
    if (!ok || facts === undefined) return { state: 'fails', reason: faults.join('; ') };
    const address = formatAddress(facts.address);
    return { state: 'holds', address, release: explanation.release ?? '', developer: trust.developer };
  } catch (error) {
    return notAvailable(error);
  }
}

function notAvailable(error: unknown): AttestedAddress {
  if (!isKmsError(error)) throw error;
  return { state: 'not available', reason: error.message.split('\n')[0] ?? error.code };
}

/** Returns one line about it. */
export function describeAttested(attested: AttestedAddress): string {
  switch (attested.state) {
    case 'holds': {
      const root = attested.developer ? ' (DEVELOPER ROOT: proves nothing about hardware)' : '';
      return `attested: ${attested.address} runs release ${attested.release}${root}`;
    }
    case 'fails':
      return `attestation does NOT hold: ${attested.reason}`;
    case 'not available':
      return `attestation: not available (${attested.reason})`;
  }
}
