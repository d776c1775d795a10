/**
 * Documents for tests: one developer root and chain, good documents and bad ones of every kind. Keys are fresh in
 * each process; the moment is fixed, so no test depends on the day it runs.
 */
import {
  type ChainVariant,
  type DeveloperRootKey,
  makeDeveloperRoot,
  makeSigningChain,
  type SigningChain,
} from '../../attestation/developer/chain.ts';
import { type DocumentForm, signDocument } from '../../attestation/developer/sign-document.ts';
import type { Measurement, Platform, TrustAnchor } from '../../attestation/document/index.ts';

/** The moment at which all forged documents are made, in milliseconds since 1970. */
export const FORGED_AT_MS = Date.UTC(2026, 0, 15, 12, 30, 0, 250);

/** The enclave that forged documents claim to come from. */
export const FORGED_MODULE_ID = 'i-0123456789abcdef0-enc0123456789abcdef';

/** Index of the PCRs that identify code on each platform, and that the forge fills with its own values. */
const PCR_COUNT: Readonly<Record<Platform, number>> = { enclave: 16, 'nitro-tpm': 24 };

/** What a forged document says, where it differs from the plain one. */
export interface ForgedFields {
  readonly platform?: Platform;
  readonly moduleId?: string;
  readonly timestampMs?: number;
  readonly pcrs?: ReadonlyMap<number, Uint8Array>;
  readonly publicKey?: Uint8Array;
  readonly userData?: Uint8Array;
  readonly nonce?: Uint8Array;
  readonly form?: DocumentForm;
  /** A chain made for this document alone. */
  readonly variant?: ChainVariant;
  readonly chain?: SigningChain;
}

/** A root with everything that can be signed under it. */
export interface Forge {
  readonly root: DeveloperRootKey;
  readonly anchor: TrustAnchor;
  readonly chain: SigningChain;
  makeChain(variant: ChainVariant): SigningChain;
  document(fields?: ForgedFields): Uint8Array;
}

/** Makes a root and its good chain. */
export function makeForge(nowMs = FORGED_AT_MS): Forge {
  const root = makeDeveloperRoot({ nowMs: nowMs - 1000 });
  const makeChain = (variant: ChainVariant) =>
    makeSigningChain(root, { nowMs, moduleId: FORGED_MODULE_ID, region: 'eu-central-1', variant });
  const chain = makeChain({});
  return {
    root,
    anchor: { name: 'test root', certificate: root.certificate },
    chain,
    makeChain,
    document: ({ variant, ...fields }: ForgedFields = {}) =>
      signDocument({
        chain: variant === undefined ? chain : makeChain(variant),
        platform: 'enclave',
        moduleId: FORGED_MODULE_ID,
        timestampMs: nowMs,
        pcrs: somePcrs(fields.platform),
        ...fields,
      }),
  };
}

/** Returns 48 bytes that differ for every number. */
export function pcrOf(number: number): Uint8Array {
  return new Uint8Array(48).map((_, index) => (number * 7 + index * 3 + 1) & 0xff);
}

/** Returns as many PCRs as the platform has, all different and none zero. */
export function somePcrs(platform: Platform = 'enclave', count = PCR_COUNT[platform]): Map<number, Uint8Array> {
  return new Map(Array.from({ length: count }, (_, index) => [index, pcrOf(index)]));
}

/** Returns a release that trusts forged documents of a platform. */
export function trustedMeasurement(platform: Platform = 'enclave', change: Partial<Measurement> = {}): Measurement {
  const indexes = platform === 'enclave' ? [0, 1, 2] : [4, 7, 11, 12];
  const pcrs = new Map(indexes.map((index) => [index, pcrOf(index)]));
  return { release: '1.0.0', platform, role: platform === 'enclave' ? 'engine' : 'core', pcrs, ...change };
}

/** What a verifier throws of a document whose checks with these numbers fail, and no others. */
export const invalidAt = (checks: string): { code: string; facts: { checks: string } } => ({
  code: 'ATTESTATION_INVALID',
  facts: { checks },
});
