/**
 * The charters of a developer quorum: they differ in the party's number alone. The first start makes them; later a missing one is made
 * out of any other.
 */
import { createHash, type KeyObject } from 'node:crypto';
import {
  type Charter,
  charterFor,
  decodeCharter,
  encodeCharter,
  makeCharter,
  rawPublicKey,
} from '../../../attestation/governance/index.ts';
import { equalBytes, toHex } from '../../../common/bytes.ts';
import { systemRandom } from '../../../common/random.ts';
import { failure } from '../framework/failure.ts';
import { readIfThere, readOf, writeWhole } from '../supervise/developer-trust.ts';

/** Where the charters are, and what they have to name. */
export interface CharterPlaces {
  /** The file of each party. */
  readonly files: readonly { readonly party: number; readonly path: string }[];
  /** A copy of that of party 1; written in any case. */
  readonly copy: string;
  /** Whether the copy counts where no party has its file. */
  readonly isCopyGood: boolean;
  readonly governanceKey: KeyObject;
  readonly rootCertificate: Uint8Array;
}

const NETWORK_BYTES = 8;

/**
 * Opens what is there and makes what is missing.
 *
 * @returns The charter of party 1.
 * @throws {@link KmsError} `STATE_INVALID` if they do not belong together, or to root and key.
 */
export async function openCharters(places: CharterPlaces): Promise<Charter> {
  const { files, copy, isCopyGood } = places;
  const anchor = createHash('sha256').update(places.rootCertificate).digest();
  const own = rawPublicKey(places.governanceKey);
  const found = await readAll([...files.map(({ path }) => path), ...(isCopyGood ? [copy] : [])]);
  const base =
    (await decodeFirst(found)) ??
    makeCharter({
      network: `dev:${toHex(systemRandom(NETWORK_BYTES))}`,
      party: 1,
      governance: { keys: [own], threshold: 1 },
      anchor,
    });
  if (!equalBytes(base.anchor, anchor) || !base.governance.keys.some((key) => equalBytes(key, own))) {
    throw unfit('the charters name another root or governance key than those that are there');
  }
  for (const { party, path } of files) {
    const wanted = encodeCharter(charterFor(base, party));
    const bytes = found.get(path);
    if (bytes === undefined) await writeWhole(path, wanted);
    else if (!equalBytes(bytes, wanted)) throw unfit(`${path} is not the charter of party ${party} of this network`);
  }
  const first = charterFor(base, 1);
  const kept = await readIfThere(copy);
  if (kept === undefined || !equalBytes(kept, encodeCharter(first))) await writeWhole(copy, encodeCharter(first));
  return first;
}

async function readAll(paths: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for (const path of paths) {
    const bytes = await readIfThere(path);
    if (bytes !== undefined) found.set(path, bytes);
  }
  return found;
}

async function decodeFirst(found: ReadonlyMap<string, Uint8Array>): Promise<Charter | undefined> {
  for (const [path, bytes] of found) return await readOf(path, () => decodeCharter(bytes));
  return undefined;
}

function unfit(what: string): Error {
  return failure(
    'STATE_INVALID',
    what,
    'restore the files that belong together from a copy, or start over with --reset',
  );
}
