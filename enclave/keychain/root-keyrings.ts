/**
 * Keyrings of several root keys as one: new data keys under the one in force, old ones opened under whichever of the keys that
 * governance named wrapped them. SECRET: data keys pass.
 */
import { KmsError } from '../../common/errors.ts';
import type { DataKeyring } from './data-keys.ts';

/** A root key's id and what makes and opens data keys under it. */
export interface RootKeyring {
  /** ARN. */
  readonly keyId: string;
  readonly keyring: DataKeyring;
}

/** See the file comment. */
export class RootKeyrings implements DataKeyring {
  readonly name: string;
  readonly #primary: RootKeyring;
  readonly #previous: readonly RootKeyring[];

  /** @param previous - Under these nothing new is wrapped. */
  constructor(primary: RootKeyring, previous: readonly RootKeyring[] = []) {
    this.name = primary.keyring.name;
    this.#primary = primary;
    this.#previous = previous;
  }

  /** ARN of the key under which new data keys are wrapped. */
  get primaryId(): string {
    return this.#primary.keyId;
  }

  generate(...args: Parameters<DataKeyring['generate']>): ReturnType<DataKeyring['generate']> {
    return this.#primary.keyring.generate(...args);
  }

  async unwrap(...[wrapped, binding, signal]: Parameters<DataKeyring['unwrap']>): ReturnType<DataKeyring['unwrap']> {
    const known = [this.#primary, ...this.#previous].find(({ keyId }) => keyId === wrapped.keyId);
    if (known !== undefined) return await known.keyring.unwrap(wrapped, binding, signal);
    const message = 'the wrapped key was made under a root key that the governed record does not name';
    throw new KmsError('STATE_INVALID', message, { keyArn: this.primaryId });
  }

  trouble(): string | undefined {
    return this.#primary.keyring.trouble?.();
  }

  close(): void {
    for (const { keyring } of [this.#primary, ...this.#previous]) keyring.close();
  }
}
