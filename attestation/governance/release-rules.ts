/**
 * What every entry of a release set must keep, whoever signed it: the registers that its platform demands, none of
 * them zero, roles that fit the platform, a window of time, successors that exist.
 */
import { toHex } from '../../common/bytes.ts';
import type { Platform } from '../document/index.ts';
import type { Role } from '../role.ts';
import type { Faults } from './fields.ts';
import { isDeveloperNetwork } from './names.ts';
import type { ReleaseEntry, ReleasePlatform, ReleaseSet } from './release-set.ts';

/** Registers that an entry must name: all that identify what was booted. */
export const REQUIRED_PCRS: Readonly<Record<Platform, readonly number[]>> = {
  enclave: [0, 1, 2],
  'nitro-tpm': [4, 7, 11, 12],
};

/** Registers that a document of the shape can have. */
const PCR_LIMIT: Readonly<Record<Platform, number>> = { enclave: 32, 'nitro-tpm': 24 };

/** Returns the shape of a role's documents: only engines run in enclaves. */
export function shapeOf(role: Role): Platform {
  return role === 'engine' ? 'enclave' : 'nitro-tpm';
}

/** Returns the shape of the documents that an entry is about. */
export function entryShape(entry: { readonly platform: ReleasePlatform; readonly role: Role }): Platform {
  return entry.platform === 'developer' ? shapeOf(entry.role) : entry.platform;
}

/** Notes everything that is wrong with the entries of a set. */
export function checkEntries(set: ReleaseSet, faults: Faults): void {
  const seen = new Map<string, number>();
  for (const [at, entry] of set.entries.entries()) {
    const path = `entries[${at}]`;
    checkPlatform(set, entry, path, faults);
    checkPcrs(entry, path, faults);
    if (entry.notBeforeMs >= entry.notAfterMs) faults.add(path, 'needs notBefore earlier than notAfter');
    const tuple = tupleKey(entry);
    const twin = seen.get(tuple);
    if (twin !== undefined) faults.add(path, `has the role and measurement of entries[${twin}]`);
    seen.set(tuple, at);
    checkSuccessor(set, entry, path, faults);
  }
}

/** Returns text that is equal for entries of the same role, shape and whole tuple of registers. */
export function tupleKey(entry: Pick<ReleaseEntry, 'platform' | 'role' | 'pcrs'>): string {
  const pcrs = [...entry.pcrs].sort(([a], [b]) => a - b).map(([index, value]) => `${index}=${toHex(value)}`);
  return [entry.role, entry.platform, ...pcrs].join(' ');
}

function checkPlatform(set: ReleaseSet, entry: ReleaseEntry, path: string, faults: Faults): void {
  if (entry.platform === 'enclave' && entry.role !== 'engine') {
    faults.add(path, 'role on platform enclave must be engine');
  }
  if (entry.platform === 'nitro-tpm' && entry.role === 'engine') {
    faults.add(path, 'role on platform nitro-tpm must be core or connector');
  }
  if (set.network === '') return;
  const isDeveloper = entry.platform === 'developer';
  if (isDeveloper && !isDeveloperNetwork(set.network)) {
    faults.add(path, "platform developer is for networks that begin with 'dev:'");
  }
  if (!isDeveloper && isDeveloperNetwork(set.network)) {
    faults.add(path, 'on a network of developer mode the platform must be developer');
  }
}

function checkPcrs(entry: ReleaseEntry, path: string, faults: Faults): void {
  const shape = entryShape(entry);
  const missing = REQUIRED_PCRS[shape].filter((index) => !entry.pcrs.has(index));
  if (missing.length > 0) {
    faults.add(
      `${path}.pcrs`,
      `lacks PCR ${missing.join(', ')}, which ${entry.platform} entries for ${entry.role} need`,
    );
  }
  for (const [index, value] of entry.pcrs) {
    if (index >= PCR_LIMIT[shape])
      faults.add(`${path}.pcrs[${index}]`, `${shape} documents end at PCR ${PCR_LIMIT[shape] - 1}`);
    if (value.every((byte) => byte === 0)) {
      faults.add(`${path}.pcrs[${index}]`, 'is zero: nothing was measured into it, as in debug mode');
    }
  }
}

function checkSuccessor(set: ReleaseSet, entry: ReleaseEntry, path: string, faults: Faults): void {
  if (entry.supersededBy === undefined) return;
  if (entry.supersededBy === entry.release) faults.add(`${path}.supersededBy`, 'names its own release');
  const exists = set.entries.some(({ release, role }) => release === entry.supersededBy && role === entry.role);
  if (!exists) faults.add(`${path}.supersededBy`, `names no release of this set with role ${entry.role}`);
}
