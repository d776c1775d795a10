/**
 * The public vault as the Core uses it: objects with their digests, and which of them do not match what the engine
 * signed. A damaged or missing object is named and never served; nothing is repaired. Spec: kms-service 1.7 step 4.
 */
import { toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import type { ByteRange, Storage } from '../../../storage/storage.ts';
import type { DigestCache, Fingerprint } from './digest-cache.ts';
import { startPublicDigest } from './public-digest.ts';

/** An object that may be served. */
export interface PublicObject {
  readonly sizeBytes: number;
  /** Hex digest of its bytes. */
  readonly digest: string;
  read(range: ByteRange): Promise<AsyncIterable<Uint8Array>>;
}

/** What the engine says a public object's digest is. */
export interface ExpectedObject {
  readonly type: string;
  readonly id: string;
  readonly digest: Uint8Array;
}

/** What {@link PublicObjects} needs. */
export interface PublicObjectsDeps {
  readonly storage: Storage;
  readonly cache: DigestCache;
  /** Tells one state of an object's file from another; undefined where there is none. */
  readonly fingerprint: (type: string, id: string) => Promise<Fingerprint | undefined>;
}

/** Objects up to this size are read while the node starts; larger ones that changed are read in the background. */
const QUICK_BYTES = 4 * 1024 * 1024;

/** Public objects, their digests and their faults. */
export class PublicObjects {
  readonly #deps: PublicObjectsDeps;
  readonly #expected = new Map<string, string>();
  readonly #faults = new Map<string, string>();
  readonly #running = new Map<string, Promise<string>>();

  constructor(deps: PublicObjectsDeps) {
    this.#deps = deps;
  }

  /** What is wrong with the public vault, one sentence an object; empty when all is well. */
  faults(): string[] {
    return [...this.#faults.values()];
  }

  /** Takes the engine's word for which objects there are, with which digests. Call {@link check} to compare. */
  expect(objects: Iterable<ExpectedObject>): void {
    this.#expected.clear();
    for (const { type, id, digest } of objects) this.#expected.set(`${type}/${id}`, toHex(digest));
    for (const name of this.#faults.keys()) if (!this.#expected.has(name)) this.#faults.delete(name);
  }

  /**
   * Finds an object to serve. The first time after a change this reads the whole object, for its digest.
   *
   * @throws KmsError STATE_INVALID if it is not what the engine signed.
   */
  async find(type: string, id: string): Promise<PublicObject | undefined> {
    const fingerprint = await this.#deps.fingerprint(type, id);
    if (fingerprint === undefined) return undefined;
    const digest = await this.#digest(type, id, fingerprint);
    const fault = this.#judge(type, id, digest);
    if (fault !== undefined) throw new KmsError('STATE_INVALID', fault, { type, id });
    const sizeBytes = await this.#deps.storage.size([type, id]);
    if (sizeBytes === undefined) return undefined;
    const read = async (range: ByteRange): Promise<AsyncIterable<Uint8Array>> =>
      (await this.#deps.storage.open([type, id], range)).stream;
    return { sizeBytes, digest, read };
  }

  /**
   * Compares all expected objects: known and small ones before it resolves, large unknown ones after.
   *
   * @param stopped - Asked before each large object: true leaves the rest unread.
   * @returns `rest` resolves when the large ones are done too; it never rejects.
   */
  async check(stopped: () => boolean = () => false): Promise<{ readonly rest: Promise<void> }> {
    const later: (() => Promise<void>)[] = [];
    for (const name of this.#expected.keys()) {
      const [type = '', id = ''] = name.split('/');
      const fingerprint = await this.#deps.fingerprint(type, id);
      if (fingerprint === undefined) {
        this.#faults.set(name, `public object ${name} is missing`);
        continue;
      }
      const known = this.#deps.cache.get(type, id, fingerprint);
      const sizeBytes = (await this.#deps.storage.size([type, id])) ?? 0;
      const compare = async (): Promise<void> => {
        try {
          this.#judge(type, id, await this.#digest(type, id, fingerprint));
        } catch {
          this.#faults.set(name, `public object ${name} cannot be read`);
        }
      };
      if (known !== undefined || sizeBytes <= QUICK_BYTES) await compare();
      else later.push(compare);
    }
    const runAll = async (): Promise<void> => {
      for (const compare of later) if (!stopped()) await compare();
    };
    return { rest: runAll() };
  }

  /** Records the digest of an object that was just stored, so that nobody need read it again. */
  async remember(type: string, id: string, digest: Uint8Array): Promise<void> {
    const fingerprint = await this.#deps.fingerprint(type, id);
    if (fingerprint !== undefined) this.#deps.cache.set(type, id, fingerprint, toHex(digest));
    this.#faults.delete(`${type}/${id}`);
  }

  /** Removes an object that nothing refers to. Returns whether there was one. */
  async remove(type: string, id: string): Promise<boolean> {
    this.#deps.cache.forget(type, id);
    this.#expected.delete(`${type}/${id}`);
    this.#faults.delete(`${type}/${id}`);
    return await this.#deps.storage.delete([type, id]);
  }

  /** Compares a digest with the engine's and keeps the list of faults up to date. */
  #judge(type: string, id: string, digest: string): string | undefined {
    const name = `${type}/${id}`;
    const expected = this.#expected.get(name);
    if (expected === undefined || expected === digest) {
      this.#faults.delete(name);
      return undefined;
    }
    const fault = `public object ${name} has digest ${digest}, the engine signed ${expected}`;
    this.#faults.set(name, fault);
    return fault;
  }

  /** The object's digest, read at most once however many ask. */
  #digest(type: string, id: string, fingerprint: Fingerprint): Promise<string> {
    const known = this.#deps.cache.get(type, id, fingerprint);
    if (known !== undefined) return Promise.resolve(known);
    const key = `${type}/${id}/${fingerprint}`;
    const running = this.#running.get(key) ?? this.#compute(type, id, fingerprint);
    this.#running.set(key, running);
    return running.finally(() => this.#running.delete(key));
  }

  async #compute(type: string, id: string, fingerprint: Fingerprint): Promise<string> {
    const digest = startPublicDigest(type);
    const { stream } = await this.#deps.storage.open([type, id]);
    for await (const chunk of stream) digest.update(chunk);
    const hex = toHex(digest.digest());
    // A file that changed under the reader has another fingerprint by now: its digest is nobody's.
    if ((await this.#deps.fingerprint(type, id)) !== fingerprint) {
      throw new KmsError('ABORTED', 'the object changed while it was read', { type, id });
    }
    this.#deps.cache.set(type, id, fingerprint, hex);
    return hex;
  }
}
