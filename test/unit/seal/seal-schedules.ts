/**
 * Random lives of a vault: servers of one party write, remove and read sealed objects over a storage that fails at random,
 * die, are replaced while they go on; compared with a model. What an operation says has happened; what fails has happened or
 * not; nothing else is ever read, and the manifest's chain never forks.
 */
import { equalBytes } from '../../../common/bytes.ts';
import { isKmsError } from '../../../common/errors.ts';
import { type Manifest, manifestDigest, readManifest } from '../../../enclave/seal/manifest.ts';
import { ManifestHead } from '../../../enclave/seal/manifest-head.ts';
import { SealedStore, type StoredObject } from '../../../enclave/seal/sealed-store.ts';
import type { Storage } from '../../../storage/storage.ts';
import { seededRandom } from '../../helpers/mutate.ts';
import { Died, faultyStorage, type Weather } from './faulty-storage.ts';
import { ASKED, writerOf } from './manifest-scene.ts';
import { CLAIMS, fixedSealer, pieces } from './seal-scene.ts';

/** What came of many schedules. */
export interface ScheduleTally {
  /** Operations that succeeded, and that failed. */
  done: number;
  failed: number;
  /** Servers that died, and that were replaced while they lived. */
  died: number;
  replaced: number;
  /** Refusals by name of what storage handed out. */
  refused: number;
  /** The first thing that is not as the model says. */
  wrong?: string;
}

/** Settings of {@link runSealSchedules}. */
export interface ScheduleSettings {
  readonly count: number;
  readonly seed: number;
  /** A storage of its own for each schedule, seen by all servers. */
  readonly storage: (schedule: number) => Promise<Storage>;
  /** Told when a schedule's faults end. */
  readonly onCalm?: () => void;
}

const { version: _, ...KEY } = CLAIMS;
const OBJECTS: readonly StoredObject[] = ['c1', 'c2', 'c3'].map((byte) => {
  const keyId = byte.repeat(32);
  return { ...KEY, keyId, name: `FheKeyInfo/${KEY.epochId}/${keyId}` };
});
const STEPS = 6;

/** Runs schedules until one goes wrong. */
export async function runSealSchedules({
  count,
  seed,
  storage,
  onCalm = () => {},
}: ScheduleSettings): Promise<ScheduleTally> {
  const tally: ScheduleTally = { done: 0, failed: 0, died: 0, replaced: 0, refused: 0 };
  for (let schedule = 0; schedule < count; schedule++) {
    const life = new VaultLife(await storage(schedule), seed * 1_000_003 + schedule, tally);
    try {
      await life.run(onCalm);
    } catch (error) {
      tally.wrong = `seed ${seed}, schedule ${schedule}: ${error instanceof Error ? error.message : String(error)}`;
      return tally;
    }
  }
  return tally;
}

/** One server of the party. */
interface Server {
  readonly store: SealedStore;
  readonly link: ReturnType<typeof faultyStorage>;
  /** Whether it took the head over last: all others have lost. */
  current: boolean;
  /** Whether it knows how its last write ended. */
  settled: boolean;
}

class VaultLife {
  readonly #shared: Storage;
  readonly #weather: Weather;
  readonly #tally: ScheduleTally;
  readonly #seed: number;
  /** What each object may hold; undefined: it may be absent. */
  readonly #possible = new Map<string, Set<string | undefined>>();
  /** All that was ever written to each. */
  readonly #ever = new Map<string, Set<string>>();
  /** What the state of the manifest may be. */
  #before: (Manifest | undefined)[] = [undefined];
  #incarnation = 0;
  #writes = 0;

  constructor(storage: Storage, seed: number, tally: ScheduleTally) {
    const next = seededRandom(seed);
    this.#weather = { rate: next(35), below: next };
    this.#shared = { ...facesOf(storage), swap: (...args) => this.#swap(storage, ...args) };
    this.#tally = tally;
    this.#seed = seed;
    for (const { name } of OBJECTS) {
      this.#possible.set(name, new Set([undefined]));
      this.#ever.set(name, new Set());
    }
  }

  async run(onCalm: () => void): Promise<void> {
    const { below } = this.#weather;
    let server = await this.#start();
    const before: Server[] = [];
    for (let step = 0; step < STEPS; step++) {
      if (server.link.died || below(12) === 0) {
        this.#tally[server.link.died ? 'died' : 'replaced']++;
        server.current = false;
        before.push(server);
        server = await this.#start();
      }
      const old = before.filter(({ link }) => !link.died).at(-1);
      await this.#step(old !== undefined && below(4) === 0 ? old : server);
    }
    this.#weather.rate = 0;
    onCalm();
    const last = await this.#start();
    for (const object of OBJECTS) await this.#read(last, object);
  }

  /** A replacement: reads the head and takes it over, as often as it needs. */
  async #start(): Promise<Server> {
    for (let attempt = 0; attempt < 200; attempt++) {
      this.#incarnation += 1;
      const link = faultyStorage(this.#shared, this.#weather);
      try {
        const head = await ManifestHead.open(writerOf(link, { incarnation: this.#incarnation }));
        await head.advance();
        const sealer = fixedSealer(this.#seed + this.#incarnation);
        const store = new SealedStore({ storage: link, head, sealer, onLeftover: () => {} });
        return { store, link, current: true, settled: true };
      } catch (error) {
        this.#expected(error, link.died);
      }
    }
    throw new Error('no server could be started');
  }

  async #step(server: Server): Promise<void> {
    const { below } = this.#weather;
    const object = OBJECTS[below(OBJECTS.length)] ?? KEY;
    const kind = below(5);
    if (kind < 2) await this.#read(server, object);
    else if (kind === 4) await this.#delete(server, object);
    else await this.#put(server, object);
  }

  async #put(server: Server, object: StoredObject): Promise<void> {
    this.#writes += 1;
    // One in twenty has two chunks.
    const text = `content ${this.#writes} `.repeat(this.#weather.below(20) === 0 ? 6000 : 3);
    this.#ever.get(object.name)?.add(text);
    const content = Buffer.from(text);
    await this.#change(server, object, text, () =>
      server.store.put(object, pieces(content, 10_000), { sizeBytes: content.length }),
    );
  }

  async #delete(server: Server, object: StoredObject): Promise<void> {
    await this.#change(server, object, undefined, () => server.store.delete(object.name));
  }

  async #change(
    server: Server,
    { name }: StoredObject,
    value: string | undefined,
    run: () => Promise<void>,
  ): Promise<void> {
    const { current: isCurrent } = server;
    const possible = this.#possible.get(name) ?? new Set();
    try {
      await run();
      if (!isCurrent) throw new Wrong(`${name}: a server that was replaced wrote`);
      this.#possible.set(name, new Set([value]));
      server.settled = true;
      this.#tally.done++;
    } catch (error) {
      this.#expected(error, server.link.died);
      const isAbsent = value === undefined && isKmsError(error, 'NOT_FOUND');
      if (isAbsent && isCurrent && server.settled && !possible.has(undefined)) throw new Wrong(`${name}: lost`);
      if (isAbsent) return;
      server.settled = false;
      if (isCurrent) possible.add(value);
    }
  }

  async #read(server: Server, object: StoredObject): Promise<void> {
    const { current: isCurrent } = server;
    const possible = this.#possible.get(object.name) ?? new Set();
    try {
      const text = await textOf(server.store, object);
      const may: ReadonlySet<string | undefined> = isCurrent ? possible : (this.#ever.get(object.name) ?? new Set());
      if (!may.has(text)) throw new Wrong(`${object.name}: read ${text.slice(0, 10)}…, which cannot be there`);
      if (isCurrent && server.settled) this.#possible.set(object.name, new Set([text]));
      this.#tally.done++;
    } catch (error) {
      this.#expected(error, server.link.died);
      const isAbsent = isKmsError(error, 'NOT_FOUND');
      if (isCurrent && isAbsent && server.settled) {
        if (!possible.has(undefined)) throw new Wrong(`${object.name}: lost`);
        this.#possible.set(object.name, new Set([undefined]));
      }
      if (this.#weather.rate === 0 && !isAbsent) throw new Wrong(`${object.name}: ${String(error)}, without a fault`);
    }
  }

  /** Every failure has to be one of ours, by name. */
  #expected(error: unknown, died: boolean): void {
    if (error instanceof Wrong) throw error;
    if (!isKmsError(error) && !(error instanceof Died && died))
      throw new Wrong(`an error of nobody's: ${String(error)}`);
    if (isKmsError(error, 'STATE_INVALID')) this.#tally.refused++;
    this.#tally.failed++;
  }

  /** Each state of the manifest follows from the one before; a write that failed may have happened. */
  async #swap(storage: Storage, ...args: Parameters<Storage['swap']>): ReturnType<Storage['swap']> {
    const next = readManifest(args[1], ASKED);
    try {
      const tag = await storage.swap(...args);
      if (!this.#before.some((before) => follows(next, before))) {
        throw new Wrong(`manifest ${next.sequence} does not follow the one before`);
      }
      this.#before = [next];
      return tag;
    } catch (error) {
      this.#before.push(next);
      throw error;
    }
  }
}

function follows(next: Manifest, before: Manifest | undefined): boolean {
  if (before === undefined) return next.sequence === 1;
  const { previous = new Uint8Array(0), sequence } = next;
  return sequence === before.sequence + 1 && equalBytes(previous, manifestDigest(before));
}

class Wrong extends Error {}

function facesOf(storage: Storage): Omit<Storage, 'swap'> {
  return {
    fenced: storage.fenced,
    put: (...args) => storage.put(...args),
    get: (path) => storage.get(path),
    getTagged: (path) => storage.getTagged(path),
    open: (...args) => storage.open(...args),
    has: (path) => storage.has(path),
    size: (path) => storage.size(path),
    list: (folder) => storage.list(folder),
    delete: (path) => storage.delete(path),
  };
}

async function textOf(store: SealedStore, object: StoredObject): Promise<string> {
  return await store.read(object, async (walk) => {
    const parts: Buffer[] = [];
    for await (const piece of walk) parts.push(Buffer.from(piece));
    return Buffer.concat(parts).toString();
  });
}
