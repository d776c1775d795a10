/**
 * The record of this engine's own start: made anew when its certificate or its vault has moved, always of the same start.
 */
import type { StartRecord, StartSigner, VaultPoint } from '../../attestation/start/start-record.ts';
import { type SignedStart, signStart } from '../../attestation/start/start-record.ts';
import { equalBytes, toHex } from '../../common/bytes.ts';

/** What of a record is asked for each time that it is made. */
export interface OwnFacts extends Pick<StartRecord, 'releases' | 'record' | 'context' | 'epoch'> {
  /** State that the vault was restored from, while nobody has confirmed it. */
  readonly source: VaultPoint | undefined;
}

/** Settings of {@link OwnStart}. */
export interface OwnStartOptions {
  readonly charterDigest: Uint8Array;
  readonly party: number;
  readonly incarnation: number;
  /** 32 fresh bytes. */
  readonly nonce: Uint8Array;
  /** The state of the vault that this start has made. */
  readonly manifest: VaultPoint;
  /** The last state that a confirmed start has written. */
  readonly base: VaultPoint | undefined;
  readonly signer: StartSigner;
  readonly facts: () => OwnFacts;
  /** SHA-256 of the certificate that the engine shows now. */
  readonly leaf: () => Promise<Uint8Array>;
}

/** Acknowledgements of older forms of the record count as well: they are of the same start. */
const MOST_FORMS = 64;

/** See the file comment. */
export class OwnStart {
  readonly #options: OwnStartOptions;
  /** What each form says of the vault, by the form's digest. */
  readonly #forms = new Map<string, string>();
  #manifest: VaultPoint;
  #base: VaultPoint | undefined;
  #current: SignedStart | undefined;

  constructor(options: OwnStartOptions) {
    this.#options = options;
    this.#manifest = options.manifest;
    this.#base = options.base;
  }

  /** The newest form; undefined before the first. */
  get current(): SignedStart | undefined {
    return this.#current;
  }

  /** The vault has another state with other objects. */
  moved(manifest: VaultPoint): void {
    this.#manifest = manifest;
  }

  /** The start is confirmed, and its vault knows that from this state on: what it writes counts. */
  confirmed(manifest: VaultPoint): void {
    this.#manifest = manifest;
    this.#base = undefined;
  }

  /** Returns the record as it is to be said now. @throws KmsError `UNAVAILABLE` if there is no certificate. */
  async form(): Promise<SignedStart> {
    const { charterDigest, party, incarnation, nonce, signer, facts } = this.#options;
    const leaf = await this.#options.leaf();
    const last = this.#current?.start;
    const { source, ...rest } = facts();
    const isRestored = source !== undefined;
    const isSame =
      last !== undefined &&
      (last.source !== undefined) === isRestored &&
      equalBytes(last.leaf, leaf) &&
      equalBytes(last.manifest.digest, this.#manifest.digest);
    if (isSame && this.#current) return this.#current;
    const [manifest, base] = [this.#manifest, this.#base];
    const start = { charterDigest, party, incarnation, nonce, manifest, leaf, source, base, ...rest };
    const signed = signStart(start, signer);
    this.#current = signed;
    this.#forms.set(toHex(signed.digest), `${manifest.sequence} ${isRestored}`);
    for (const oldest of this.#forms.keys()) {
      if (this.#forms.size <= MOST_FORMS) break;
      this.#forms.delete(oldest);
    }
    return signed;
  }

  /**
   * What a form of this start says of the vault: two that say the same need not both be heard.
   *
   * @returns undefined if the digest is of no form of this start.
   */
  stateOf(digest: Uint8Array): string | undefined {
    return this.#forms.get(toHex(digest));
  }
}
