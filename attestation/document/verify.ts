/**
 * Verifies attestation documents: the only place that makes a {@link VerifiedDocument}, and only of a document
 * that kept every rule. Live sessions and archived evidence are two functions, so that neither can be judged by
 * the other's clock by mistake. Nothing secret passes here.
 */
import { KmsError } from '../../common/errors.ts';
import type { ChainCache } from './chain-cache.ts';
import { type Examination, examine } from './examine.ts';
import type { DocumentInput, Platform, TrustAnchor } from './types.ts';

/** Known to this module alone: the constructor's proof that the verifier called it. */
const VERIFIER = Symbol('verifier');

/** Everything a verified document holds. */
interface Content {
  readonly platform: Platform;
  readonly moduleId: string;
  readonly timestampMs: number;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly publicKey: Uint8Array | undefined;
  readonly userData: Uint8Array | undefined;
  readonly nonce: Uint8Array | undefined;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly anchorName: string;
  readonly certificates: number;
}

/**
 * A document that has verified. Only {@link verifyLiveDocument} and {@link verifyArchivedDocument} make one:
 * copies, casts and look-alikes are refused by {@link assertVerified}, which every consumer calls.
 *
 * It says who signed what and when; whether that code is trusted is `matchMeasurements`'s to say. Byte strings
 * and maps are copies, so a document cannot be changed by those it is given to.
 */
export class VerifiedDocument {
  readonly #content: Content;

  /** @internal */
  private constructor(proof: symbol, content: Content) {
    if (proof !== VERIFIER) throw new KmsError('INTERNAL', 'only the verifier makes verified documents');
    this.#content = content;
    Object.freeze(this);
  }

  /** @internal */
  static make(proof: symbol, content: Content): VerifiedDocument {
    return new VerifiedDocument(proof, content);
  }

  /** Returns whether a value was made by the verifier, whatever it claims to be. */
  static isVerified(value: unknown): value is VerifiedDocument {
    return typeof value === 'object' && value !== null && #content in value;
  }

  /** Which device signed. */
  get platform(): Platform {
    return this.#content.platform;
  }

  /** The device's name: `i-…-enc…` or `i-…-tpm…`. */
  get moduleId(): string {
    return this.#content.moduleId;
  }

  /** The EC2 instance, `i-…`: what stands before `-enc` or `-tpm` in the module id, or all of it. */
  get instanceId(): string {
    const { moduleId } = this.#content;
    return /^(.+?)-(?:enc|tpm)[0-9a-f]*$/.exec(moduleId)?.[1] ?? moduleId;
  }

  /** The device's signed clock, milliseconds since 1970. */
  get timestampMs(): number {
    return this.#content.timestampMs;
  }

  /** Index to 48 bytes. */
  get pcrs(): ReadonlyMap<number, Uint8Array> {
    return new Map([...this.#content.pcrs].map(([index, value]) => [index, new Uint8Array(value)]));
  }

  /** The key that the document binds; undefined when not set. */
  get publicKey(): Uint8Array | undefined {
    return copyOf(this.#content.publicKey);
  }

  /** What the code wanted to say; undefined when not set. */
  get userData(): Uint8Array | undefined {
    return copyOf(this.#content.userData);
  }

  /** The challenge it answers; undefined when not set. */
  get nonce(): Uint8Array | undefined {
    return copyOf(this.#content.nonce);
  }

  /** First and last moment at which every certificate of the chain is valid, milliseconds since 1970. */
  get notBeforeMs(): number {
    return this.#content.notBeforeMs;
  }

  get notAfterMs(): number {
    return this.#content.notAfterMs;
  }

  /** Name of the anchor that it chains to. */
  get anchorName(): string {
    return this.#content.anchorName;
  }

  /** Certificates of its chain, anchor and leaf included. */
  get certificates(): number {
    return this.#content.certificates;
  }
}

Object.freeze(VerifiedDocument);
Object.freeze(VerifiedDocument.prototype);

/** How a live document is judged. */
export interface LiveOptions {
  readonly anchor: TrustAnchor;
  /** The verifier's own trusted time, milliseconds since 1970. */
  readonly nowMs: number;
  /** Oldest document accepted; 300,000 ms unless set. */
  readonly maxAgeMs?: number;
  /** How far the signer's clock may be ahead, and how far validity is stretched; 60,000 ms unless set. */
  readonly skewMs?: number;
  readonly cache?: ChainCache;
}

/**
 * Verifies a document of a session that is going on: made within `maxAgeMs`, all certificates valid now.
 *
 * Proves neither that the code is trusted nor that the document was meant for this session: look at
 * `matchMeasurements` and at nonce, public key and user data.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID`; the message has every check that failed, `facts.checks` their numbers.
 *   `REQUEST_INVALID` for a time or a limit that is no finite number.
 */
export async function verifyLiveDocument(input: DocumentInput, o: LiveOptions): Promise<VerifiedDocument> {
  const { anchor, cache, nowMs, maxAgeMs, skewMs } = o;
  const judgedAt = {
    kind: 'live',
    nowMs,
    ...(maxAgeMs === undefined ? {} : { maxAgeMs }),
    ...(skewMs === undefined ? {} : { skewMs }),
  } as const;
  return accept(await examine(input, { anchor, judgedAt, cache }), anchor);
}

/**
 * Verifies a document kept as evidence: all certificates valid at the document's own signed timestamp. It says
 * nothing about now, so never use it for a session.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID`, as {@link verifyLiveDocument}.
 */
export async function verifyArchivedDocument(
  input: DocumentInput,
  o: { readonly anchor: TrustAnchor },
): Promise<VerifiedDocument> {
  return accept(await examine(input, { anchor: o.anchor, judgedAt: { kind: 'archived' } }), o.anchor);
}

/**
 * Checks at run time that a value came from the verifier.
 *
 * @throws {@link KmsError} `ATTESTATION_INVALID` for copies, casts, look-alikes and anything else.
 */
export function assertVerified(value: unknown): asserts value is VerifiedDocument {
  if (VerifiedDocument.isVerified(value)) return;
  throw new KmsError('ATTESTATION_INVALID', 'not a document that the verifier has accepted');
}

/** Turns a successful examination into a document, and any other into the error that says all that failed. */
function accept({ sheet, accepted }: Examination, anchor: TrustAnchor): VerifiedDocument {
  if (accepted === undefined) {
    const failures = sheet.failures();
    const reasons = failures.map(({ number, detail }) => `${number} ${detail}`).join('; ');
    const checks = failures.map(({ number }) => number).join(' ');
    throw new KmsError('ATTESTATION_INVALID', `attestation document does not verify: ${reasons}`, { checks });
  }
  const { claims, chain } = accepted;
  return VerifiedDocument.make(VERIFIER, {
    platform: claims.platform,
    moduleId: claims.moduleId,
    timestampMs: claims.timestampMs,
    pcrs: claims.pcrs,
    publicKey: claims.publicKey,
    userData: claims.userData,
    nonce: claims.nonce,
    notBeforeMs: Math.max(...chain.map(({ notBeforeMs }) => notBeforeMs)),
    notAfterMs: Math.min(...chain.map(({ notAfterMs }) => notAfterMs)),
    anchorName: anchor.name,
    certificates: chain.length,
  });
}

function copyOf(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes && new Uint8Array(bytes);
}
