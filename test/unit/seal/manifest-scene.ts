/** Manifests of the node of these tests. */
import type { ExpectedManifest, Manifest, ManifestEntry } from '../../../enclave/seal/manifest.ts';
import { manifestSigner } from '../../../enclave/seal/manifest.ts';
import type { ManifestWriter } from '../../../enclave/seal/manifest-head.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import { CLAIMS, NODE_SCALAR } from './seal-scene.ts';

/** Signs as that node. */
export const MANIFEST_SIGNER = manifestSigner(NodeKey.fromBytes(NODE_SCALAR));

const OWNER = { purpose: CLAIMS.purpose, charterDigest: CLAIMS.charterDigest, party: CLAIMS.party };

/** What that node asks for. */
export const ASKED: ExpectedManifest = { ...OWNER, signer: MANIFEST_SIGNER.publicKey };

/** An entry whose digest tells objects apart. */
export const entryOf = (version: number, byte = version): ManifestEntry => ({
  version,
  writing: { place: `${byte}-ab`, digest: new Uint8Array(48).fill(byte), sizeBytes: 100 },
});

/** The entry of an object that was removed. */
export const removedAt = (version: number): ManifestEntry => ({ version, writing: undefined });

/** A state in the middle of a chain. */
export const MANIFEST: Manifest = {
  ...OWNER,
  sequence: 7,
  previous: new Uint8Array(48).fill(6),
  incarnation: 3,
  source: { sequence: 6, digest: new Uint8Array(48).fill(5) },
  entries: new Map([
    [CLAIMS.name, entryOf(5)],
    ['SigningKey/aa', entryOf(1)],
    ['EpochData/bb', removedAt(2)],
  ]),
  memory: Uint8Array.of(1, 2, 3),
};

/** A writer over a storage. */
export const writerOf = (storage: ManifestWriter['storage'], change: Partial<ManifestWriter> = {}): ManifestWriter => ({
  storage,
  signer: MANIFEST_SIGNER,
  asked: ASKED,
  incarnation: 1,
  needsFence: false,
  ...change,
});
