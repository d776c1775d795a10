/**
 * The vaults of a stopped node of the published layout, as an import reads them: in clear, or each private object as an
 * `AppKeyBlob` under a root key of AWS KMS. SECRET: what is opened here.
 *
 * Nothing in them is signed: whoever could write there chose what is read. An import compares it with what the node
 * published, and its people look at the address. Spec: kms-service.md sections 6 and 7.2.
 */
import { gcmsiv } from '@noble/ciphers/aes.js';
import { isKmsError, KmsError } from '../../common/errors.ts';
import { decodeAppKeyBlob } from '../../wire/app-key-blob.ts';
import { parseRequestId, type RequestId } from '../../wire/ids.ts';
import type { ForeignKeys } from '../keychain/aws-kms.ts';
import type { ForeignStore } from './foreign-store.ts';

/** Kinds of private objects that belong to an epoch and are imported. */
export const IMPORTED_TYPES = ['FhePrivateKey', 'FheKeyInfo', 'CrsInfo'] as const;

/** Key sets lie in them with their public objects: gigabytes. */
const MAX_OBJECT_BYTES = 8 * 1024 ** 3;

/** Where an object of an epoch lies. */
export interface ForeignObject {
  readonly type: (typeof IMPORTED_TYPES)[number];
  readonly epochId: RequestId;
  readonly id: RequestId;
}

/** Settings of {@link ForeignVault}. */
export interface ForeignVaultOptions {
  /** The private vault. */
  readonly secret: ForeignStore;
  readonly published: ForeignStore;
  /** Root key that sealed the private vault; undefined for one in clear. */
  readonly rootKey?: { readonly keyArn: string; readonly keys: ForeignKeys } | undefined;
}

/** See the file comment. */
export class ForeignVault {
  /** What the node published. */
  readonly published: ForeignStore;
  readonly #options: ForeignVaultOptions;

  constructor(options: ForeignVaultOptions) {
    this.published = options.published;
    this.#options = options;
  }

  /**
   * Lists keys and CRSs, each from the newest epoch that has it, and names the folders that stay behind.
   *
   * @throws KmsError `NOT_FOUND` without such a folder; `REQUEST_INVALID` naming what has no epoch or bears no id.
   */
  async list(): Promise<{ readonly objects: readonly ForeignObject[]; readonly left: readonly string[] }> {
    const newest = new Map<string, ForeignObject>();
    const { secret } = this.#options;
    const found = await secret.names([]);
    for (const type of IMPORTED_TYPES.filter((known) => found.includes(known))) {
      // Ids of epochs grow with time.
      for (const epoch of await secret.names([type])) {
        for (const name of await secret.names([type, epoch])) {
          newest.set(`${type}/${name}`, { type, epochId: idOf(epoch, [type, epoch]), id: idOf(name, [type, name]) });
        }
      }
    }
    const known: readonly string[] = [...IMPORTED_TYPES, 'SigningKey'];
    return { objects: [...newest.values()], left: found.filter((name) => !known.includes(name)) };
  }

  /**
   * Reads a private object; the caller wipes it.
   *
   * @throws KmsError `NOT_FOUND`; `STATE_INVALID` for what does not open; what AWS KMS refuses.
   */
  async open(path: readonly string[], signal?: AbortSignal): Promise<Uint8Array> {
    const { secret, rootKey } = this.#options;
    const content = await secret.read(path, MAX_OBJECT_BYTES);
    try {
      return rootKey ? await openBlob(content, rootKey, signal) : content;
    } catch (error) {
      if (!isKmsError(error)) throw error;
      throw new KmsError(error.code, `${path.join('/')}: ${error.message}`, error.facts, error);
    }
  }
}

async function openBlob(
  content: Uint8Array<ArrayBuffer>,
  { keyArn, keys }: NonNullable<ForeignVaultOptions['rootKey']>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { rootKeyId, wrappedKey, ciphertext, iv, authTag } = decodeAppKeyBlob(content);
  // An alias names whatever its owner says today: there AWS alone knows. The key that answers is the ARN's in any case.
  if (rootKeyId !== keyArn && !keyArn.endsWith(`:key/${rootKeyId}`) && !/(^|:)alias\//.test(rootKeyId)) {
    throw new KmsError('STATE_INVALID', 'it was sealed under another root key than the one given', { keyArn });
  }
  const dataKey = await keys.open(wrappedKey, signal);
  try {
    const nonce = Uint8Array.from(iv);
    // The cipher wants the tag behind the ciphertext: it is moved there, over the nonce, so that gigabytes are not copied.
    const end = ciphertext.byteOffset - content.byteOffset + ciphertext.byteLength;
    content.set(Uint8Array.from(authTag), end);
    const sealed = content.subarray(end - ciphertext.byteLength, end + authTag.byteLength);
    return gcmsiv(dataKey, nonce).decrypt(sealed);
  } catch (error) {
    if (isKmsError(error)) throw error;
    throw new KmsError('STATE_INVALID', 'it does not open under its data key: it was changed or cut', { keyArn });
  } finally {
    dataKey.fill(0);
  }
}

function idOf(name: string, path: readonly string[]): RequestId {
  try {
    const id = parseRequestId(name);
    if (id === name) return id;
  } catch (error) {
    if (!isKmsError(error)) throw error;
  }
  throw new KmsError('REQUEST_INVALID', `${path.join('/')} does not bear an id: move it away`);
}
