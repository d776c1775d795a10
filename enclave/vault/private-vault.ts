/**
 * The engine's private objects: which kinds there are, where they lie, and that each is what its name says.
 *
 * `SigningKey/<id>`, `CACert/<id>`, `Incarnation/<id>`, `Governance/<id>`, `Custodians/<id>`,
 * `BackupDrill/<id>`, `Context/<id>`, `EpochData/<epoch>`,
 * `FhePrivateKey/<epoch>/<id>`, `FheKeyInfo/<epoch>/<id>`, `DecompressionKeyInfo/<epoch>/<id>`, `CrsInfo/<epoch>/<id>`.
 * Contents are secret. Formats: docs/formats/private-objects.md; paths: kms-service.md section 6.3.
 */
import { isKmsError, KmsError } from '../../common/errors.ts';
import { parseRequestId, type RequestId } from '../../wire/ids.ts';
import type { ObjectKeeper } from './object-keeper.ts';

/** Kinds of private objects that belong to the node. */
const NODE_TYPES = [
  'SigningKey',
  'CACert',
  'Incarnation',
  'Governance',
  'Custodians',
  'BackupDrill',
  'Context',
  'EpochData',
] as const;
/** Kinds of private objects that belong to an epoch. */
const EPOCH_SCOPED_TYPES = ['FhePrivateKey', 'FheKeyInfo', 'DecompressionKeyInfo', 'CrsInfo'] as const;
const KNOWN_TYPES: ReadonlySet<string> = new Set([...NODE_TYPES, ...EPOCH_SCOPED_TYPES]);

/** A kind of private object that belongs to the node. */
export type NodeType = (typeof NODE_TYPES)[number];

/** A kind of private object that belongs to an epoch. */
export type EpochScopedType = (typeof EPOCH_SCOPED_TYPES)[number];

/** Where an object of an epoch lies. */
export type EpochScopedPath = readonly [EpochScopedType, epochId: RequestId, id: RequestId];

/** Where a private object lies. */
export type PrivatePath = readonly [NodeType, RequestId] | EpochScopedPath;

/** Returns the path that an object's name is; undefined for a name that this release gives to nothing. */
export function parsePrivatePath(name: string): PrivatePath | undefined {
  const [type, outer = '', inner, ...more] = name.split('/');
  if (more.length > 0 || !isId(outer)) return undefined;
  const nodeType = NODE_TYPES.find((known) => known === type);
  if (nodeType !== undefined) return inner === undefined ? [nodeType, outer] : undefined;
  const scoped = EPOCH_SCOPED_TYPES.find((known) => known === type);
  return scoped !== undefined && inner !== undefined && isId(inner) ? [scoped, outer, inner] : undefined;
}

/** Private objects over whatever keeps them. */
export class PrivateVault {
  readonly #keeper: ObjectKeeper;

  constructor(keeper: ObjectKeeper) {
    this.#keeper = keeper;
  }

  /** Name of the keychain in use. */
  get keychainName(): string {
    return this.#keeper.name;
  }

  /**
   * Writes an object, whole and durable once this returns. The caller still owns, and wipes, the content.
   *
   * @param replace - Take the place of another object of that name; off, other content is never overwritten.
   * @throws KmsError `ALREADY_EXISTS`, `STORAGE_FULL`.
   */
  async put(path: PrivatePath, content: Uint8Array, { replace = false } = {}): Promise<void> {
    await this.#keeper.put(path, content, replace);
  }

  /** Returns whether an object of that name is there. */
  async has(path: PrivatePath): Promise<boolean> {
    return await this.#keeper.has(path);
  }

  /**
   * Reads an object and hands its content to `use`, then wipes it.
   *
   * @throws KmsError `NOT_FOUND`; `STATE_INVALID` naming the object if it is damaged or if `use` finds it malformed.
   */
  async read<T>(path: PrivatePath, use: (content: Uint8Array) => T | Promise<T>): Promise<T> {
    const content = await this.#keeper.open(path).catch((error: unknown) => {
      // That a keychain or a storage does not answer says nothing about the object.
      throw isKmsError(error, 'STATE_INVALID') || isKmsError(error, 'REQUEST_INVALID') ? damaged(path, error) : error;
    });
    try {
      return await use(content);
    } catch (error) {
      throw damaged(path, error);
    } finally {
      content.fill(0);
    }
  }

  /**
   * Lists all objects of a kind.
   *
   * @throws KmsError `STATE_INVALID` naming what does not belong there.
   */
  async list(type: EpochScopedType): Promise<EpochScopedPath[]> {
    const found: EpochScopedPath[] = [];
    for (const epoch of await this.#keeper.list([type])) {
      for (const id of await this.#keeper.list([type, epoch])) {
        found.push([type, parseName(epoch, [type, epoch]), parseName(id, [type, epoch, id])]);
      }
    }
    return found;
  }

  /**
   * Lists the ids of all objects of a kind that belongs to the node.
   *
   * @throws KmsError `STATE_INVALID` naming what does not belong there.
   */
  async listNode(type: NodeType): Promise<RequestId[]> {
    return (await this.#keeper.list([type])).map((id) => parseName(id, [type, id]));
  }

  /** Removes an object. Returns whether there was one. */
  async delete(path: PrivatePath): Promise<boolean> {
    return await this.#keeper.delete(path);
  }

  /** Returns whether the vault holds an object of any kind. */
  async inUse(): Promise<boolean> {
    for (const type of NODE_TYPES) if ((await this.#keeper.list([type])).length > 0) return true;
    for (const type of EPOCH_SCOPED_TYPES) if ((await this.list(type)).length > 0) return true;
    return false;
  }

  /**
   * Checks that the vault holds nothing but the kinds that this release knows.
   *
   * @throws KmsError `STATE_INVALID` naming every folder that it does not know.
   */
  async checkKinds(): Promise<void> {
    const unknown = (await this.#keeper.list([])).filter((name) => !KNOWN_TYPES.has(name));
    if (unknown.length === 0) return;
    throw new KmsError(
      'STATE_INVALID',
      `the private vault holds what this release does not know: ${unknown.join(', ')}; use the release that wrote it`,
    );
  }
}

/** Ids are stored in their canonical form; anything else was not written by an engine. */
function isId(name: string): name is RequestId {
  try {
    return parseRequestId(name) === name;
  } catch (error) {
    if (isKmsError(error)) return false;
    throw error;
  }
}

function parseName(name: string, path: readonly string[]): RequestId {
  if (isId(name)) return name;
  throw new KmsError('STATE_INVALID', `private object ${path.join('/')} does not bear an id: move it away`);
}

function damaged(path: PrivatePath, error: unknown): unknown {
  if (!isKmsError(error)) return error;
  const message = `private object ${path.join('/')} cannot be used: ${error.message}; restore it from a backup`;
  return new KmsError('STATE_INVALID', message, error.facts, error);
}
