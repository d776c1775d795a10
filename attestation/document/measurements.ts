/**
 * Whether a verified document's code is trusted: whole tuples of PCRs against a list of releases. An empty list,
 * an empty tuple and a tuple with zeros trust nobody. Measurements are public, but compared without early exit.
 */
import { bytesToHex } from '@noble/hashes/utils.js';
import type { Role } from '../role.ts';
import type { Platform } from './types.ts';
import { assertVerified, type VerifiedDocument } from './verify.ts';

/** One trusted build of one role on one platform: index to the 48 bytes that the PCR must have. */
export interface Measurement {
  readonly release: string;
  readonly platform: Platform;
  readonly role: Role;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

/** One PCR that differs from what a release has; hex, `actual` undefined when the document has no such PCR. */
export interface PcrMismatch {
  readonly release: string;
  readonly pcr: number;
  readonly expected: string;
  readonly actual: string | undefined;
}

/** One release beside a document: every PCR that it lists, with what the document has. */
export interface ReleaseComparison {
  readonly release: string;
  readonly role: Role;
  /** Hex; `actual` is absent when the document has no such PCR. */
  readonly pcrs: readonly {
    readonly pcr: number;
    readonly expected: string;
    readonly actual?: string;
    readonly equal: boolean;
  }[];
}

/** An entry of the list that was not compared: it can trust nobody, or is for the other platform. */
export interface UnusableMeasurement {
  readonly release: string;
  readonly reason: string;
}

/** The release a document belongs to, and why it belongs to none of the others. */
export interface MeasurementVerdict {
  readonly matched: Measurement | undefined;
  /** Every differing PCR of every release of the platform; empty when one matched. */
  readonly mismatches: readonly PcrMismatch[];
  readonly unusable: readonly UnusableMeasurement[];
}

/** PCRs without which a tuple does not say which code runs: splitting an image over ramdisks keeps PCR0 alone. */
const IDENTIFYING_PCRS: Readonly<Record<Platform, readonly number[]>> = { enclave: [0, 1, 2], 'nitro-tpm': [4, 7] };
const PCR_BYTES = 48;

/**
 * Finds the first release all of whose PCRs the document has.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` if `document` is not the verifier's.
 */
export function matchMeasurements(document: VerifiedDocument, allowed: readonly Measurement[]): MeasurementVerdict {
  assertVerified(document);
  return comparePcrs(document.platform, document.pcrs, allowed);
}

/** {@link matchMeasurements} on bare PCRs, for explanations of documents that may not have verified. */
export function comparePcrs(
  platform: Platform,
  pcrs: ReadonlyMap<number, Uint8Array>,
  allowed: readonly Measurement[],
): MeasurementVerdict {
  const mismatches: PcrMismatch[] = [];
  const unusable: UnusableMeasurement[] = [];
  for (const measurement of allowed) {
    const { release } = measurement;
    const reason = unusableReason(measurement, platform);
    if (reason !== undefined) {
      unusable.push({ release, reason });
      continue;
    }
    const differing = differences(measurement, pcrs);
    // A usable tuple has no zeros and all the PCRs that identify code, so neither has a document that equals it.
    if (differing.length === 0) return { matched: measurement, mismatches: [], unusable };
    mismatches.push(...differing);
  }
  return { matched: undefined, mismatches, unusable };
}

/** Returns every PCR of every release that {@link comparePcrs} compares, equal or not, for people. */
export function compareReleases(
  platform: Platform,
  pcrs: ReadonlyMap<number, Uint8Array>,
  allowed: readonly Measurement[],
): ReleaseComparison[] {
  const usable = allowed.filter((measurement) => unusableReason(measurement, platform) === undefined);
  return usable.map(({ release, role, pcrs: expected }) => ({
    release,
    role,
    pcrs: [...expected]
      .sort(([a], [b]) => a - b)
      .map(([pcr, value]) => {
        const actual = pcrs.get(pcr);
        const equal = actual !== undefined && equalPcr(actual, value);
        const hex = actual === undefined ? {} : { actual: bytesToHex(actual) };
        return { pcr, expected: bytesToHex(value), ...hex, equal };
      }),
  }));
}

/** Returns what is wrong with the PCRs that identify code: missing, or zero as in debug mode. */
export function pcrFaults(platform: Platform, pcrs: ReadonlyMap<number, Uint8Array>): string[] {
  return IDENTIFYING_PCRS[platform].flatMap((index) => {
    const value = pcrs.get(index);
    if (value === undefined) return [`PCR${index} is missing`];
    return isZero(value) ? [`PCR${index} is zero: debug mode`] : [];
  });
}

function unusableReason({ platform, pcrs }: Measurement, actual: Platform): string | undefined {
  if (platform !== actual) return `it is for ${platform}`;
  if (pcrs.size === 0) return 'it has no PCRs';
  const missing = IDENTIFYING_PCRS[platform].filter((index) => !pcrs.has(index));
  if (missing.length > 0) return `it lacks PCR${missing.join(', PCR')}`;
  for (const [index, value] of pcrs) {
    if (value.length !== PCR_BYTES) return `its PCR${index} is not 48 bytes`;
    if (isZero(value)) return `its PCR${index} is zero`;
  }
  return undefined;
}

function differences({ release, pcrs }: Measurement, actual: ReadonlyMap<number, Uint8Array>): PcrMismatch[] {
  return [...pcrs].flatMap(([pcr, expected]) => {
    const value = actual.get(pcr);
    if (value !== undefined && equalPcr(value, expected)) return [];
    return [{ release, pcr, expected: bytesToHex(expected), actual: value && bytesToHex(value) }];
  });
}

/** Compares all bytes whatever the first ones say. */
function equalPcr(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < PCR_BYTES; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

function isZero(value: Uint8Array): boolean {
  return value.every((byte) => byte === 0);
}
