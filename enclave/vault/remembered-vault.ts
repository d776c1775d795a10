/**
 * Whether the private vault that was found is the newest that is known of: whoever owns its storage can put it back, and the
 * engine that reads it cannot tell. So what lies elsewhere is asked, before the vault's head is moved. Public.
 *
 * A memory can end a start and nothing else: nothing is believed, or served, because of what it says.
 */
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import { type Manifest, type ManifestPoint, manifestDigest } from '../seal/manifest.ts';

/** What somebody remembers of the vault; its node has signed it. */
export interface RememberedVault {
  /** Who remembers, for people. */
  readonly by: string;
  /** Newest state of the vault that is known there; undefined: only the start. */
  readonly point: ManifestPoint | undefined;
  /** Start of the engine that said so; 0 if it is not known. */
  readonly incarnation: number;
}

/** The state in which an engine found its vault, before it moved it. */
export interface FoundVault extends ManifestPoint {
  /** Digest of the state before. */
  readonly previous: Uint8Array | undefined;
  readonly incarnation: number;
}

/** Asks all who remember. @throws KmsError What keeps it from being asked, but for a memory that is away. */
export type Recall = (key: NodeKey) => Promise<readonly RememberedVault[]>;

/** Returns what of a manifest memories are compared with. */
export function foundVault(manifest: Manifest): FoundVault {
  const { sequence, previous, incarnation } = manifest;
  return { sequence, digest: manifestDigest(manifest), previous, incarnation };
}

/** Returns why a vault is not the newest that is known of, naming all who know of a newer one; undefined if it is. */
export function putBackFault(found: FoundVault, remembered: readonly RememberedVault[]): KmsError | undefined {
  const verdicts = remembered.flatMap((memory) => verdictOn(found, memory) ?? []);
  const [first] = verdicts;
  if (first === undefined) return undefined;
  const known = verdicts.map(({ says }) => says).join('; ');
  const here = `it is in state ${found.sequence}, of start ${found.incarnation}`;
  const cure = 'put the newer vault back, or empty it and restore it: arca restore';
  const facts = { fault: first.fault, sequence: found.sequence, incarnation: found.incarnation };
  return new KmsError('STATE_INVALID', `the private vault was put back: ${here}; ${known}: ${cure}`, facts);
}

interface Verdict {
  readonly fault: 'rolled-back' | 'forked';
  readonly says: string;
}

function verdictOn(found: FoundVault, { by, point, incarnation }: RememberedVault): Verdict | undefined {
  const start = incarnation > 0 ? `, of start ${incarnation}` : '';
  if (point !== undefined && point.sequence > found.sequence) {
    return { fault: 'rolled-back', says: `${by} has state ${point.sequence}${start}` };
  }
  const there = found.sequence === point?.sequence ? found.digest : undefined;
  const before = found.sequence - 1 === point?.sequence ? found.previous : undefined;
  const own = there ?? before;
  if (point !== undefined && own !== undefined && !equalBytes(own, point.digest)) {
    return { fault: 'forked', says: `${by} has another state ${point.sequence}${start}` };
  }
  // However many states were written since it was put back: the numbers of starts tell.
  return incarnation > found.incarnation ? { fault: 'forked', says: `${by} knows start ${incarnation}` } : undefined;
}
