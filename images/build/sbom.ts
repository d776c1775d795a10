/**
 * `sbom.json` of an image, CycloneDX 1.6: every package of which something is in it, with version, licence and digest. It
 * has no random serial number: the same image has the same bill.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BundledPackage, EngineBundle } from './bundle.ts';
import { type Crate, engineCrates } from './crates.ts';
import { sha256 } from './digest.ts';
import { type DebPart, KERNEL_PART, LIBRARY_DEBS, NODE_PART } from './parts.ts';

/** What a bill is written from. */
export interface BillFacts {
  readonly root: string;
  readonly name: string;
  readonly version: string;
  readonly sourceDateEpoch: number;
  readonly bundle: EngineBundle;
  readonly image: Uint8Array;
}

interface Component {
  readonly type: 'library' | 'application' | 'operating-system';
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses?: readonly { readonly expression: string }[];
  readonly hashes?: readonly { readonly alg: 'SHA-256' | 'SHA-512'; readonly content: string }[];
}

/** Returns the bill. */
export async function billOfMaterials(facts: BillFacts): Promise<object> {
  const { root, name, version, sourceDateEpoch, bundle, image } = facts;
  const integrities = await readIntegrities(root);
  const components: readonly Component[] = [
    debComponent('operating-system', KERNEL_PART.source),
    {
      type: 'application',
      name: 'node',
      version: NODE_PART.version,
      purl: `pkg:npm/${NODE_PART.name}@${NODE_PART.version}`,
      hashes: [{ alg: 'SHA-256', content: NODE_PART.sha256 }],
    },
    ...LIBRARY_DEBS.map((part) => debComponent('library', part)),
    ...bundle.packages.map((one) => npmComponent(one, integrities.get(one.folder))),
    ...(await engineCrates(root)).map(crateComponent),
  ];
  const digest = sha256(image);
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: new Date(sourceDateEpoch * 1000).toISOString(),
      component: { type: 'firmware', name, version, hashes: [{ alg: 'SHA-256', content: digest }] },
    },
    components,
  };
}

const debComponent = (type: Component['type'], { name, version, path, sha256: content }: DebPart): Component => ({
  type,
  name,
  version,
  purl: `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${path.endsWith('_all.deb') ? 'all' : 'amd64'}`,
  hashes: [{ alg: 'SHA-256', content }],
});

const crateComponent = ({ name, version, licence, sha256: content }: Crate): Component => ({
  type: 'library',
  name,
  version,
  purl: `pkg:cargo/${name}@${version}`,
  licenses: [{ expression: licence.replaceAll('/', ' OR ') }],
  hashes: [{ alg: 'SHA-256', content }],
});

const npmComponent = ({ name, version, licence }: BundledPackage, integrity: string | undefined): Component => ({
  type: 'library',
  name,
  version,
  purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
  licenses: [{ expression: licence.replace(/^\((.*)\)$/, '$1') }],
  ...(integrity !== undefined && { hashes: [{ alg: 'SHA-512', content: integrity }] }),
});

/** Digests of npm's packages by their folder, as the lock file has them. */
async function readIntegrities(root: string): Promise<ReadonlyMap<string, string>> {
  const lock: unknown = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
  const packages: unknown = lock !== null && typeof lock === 'object' ? Reflect.get(lock, 'packages') : undefined;
  if (packages === null || typeof packages !== 'object') return new Map();
  return new Map(
    Object.entries(packages).flatMap(([folder, entry]: [string, unknown]) => {
      const integrity = entry !== null && typeof entry === 'object' ? Reflect.get(entry, 'integrity') : undefined;
      if (typeof integrity !== 'string' || !integrity.startsWith('sha512-')) return [];
      return [[folder, Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex')] as const];
    }),
  );
}
