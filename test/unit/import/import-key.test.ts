/** Imports of whole client keys: into one node, into all parties of a quorum; all of it or nothing. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readWholeKey } from '../../../enclave/import/whole-key.ts';
import { Catalogue } from '../../../enclave/vault/catalogue.ts';
import { FheKey, keccak256, openDecryption, partialDecrypt, publicDecrypt } from '../../../native/engine/index.ts';
import { recoverSigner } from '../../../native/engine/public.ts';
import { keygenDigest } from '../../../wire/eip712.ts';
import { domainHash, HASH_TAG } from '../../../wire/hash.ts';
import { DEFAULT_EPOCH_ID, parseRequestId } from '../../../wire/ids.ts';
import type { KeyGenMetadata } from '../../../wire/metadata.ts';
import { clientKeyOf } from '../../helpers/client-key.ts';
import { fromLittleEndian } from '../../helpers/fhe-key-set.ts';
import { present } from '../../helpers/present.ts';
import { idOf } from '../../helpers/requests.ts';
import { TEST_NAMES, testMaskKeys } from '../../helpers/threshold-keys.ts';
import { loadShares } from '../keys/dealing-parties.ts';
import { clientKey, compressed, DOMAIN, files, KEY, node, parties, run, uncompressed } from './import-nodes.ts';

const OTHER = parseRequestId(idOf(77));
const BIG_COMPRESSED = 2;
const EUINT64 = 5;

t.test(
  'all parties of a quorum get shares that open what the key encrypted, each with its own signature',
  async (t) => {
    for (const n of [4, 7]) {
      const nodes = await parties(n);
      const steps: string[] = [];
      const imported = await run(nodes, { onStep: (step) => steps.push(step) });
      t.same([imported.keyId, imported.params, imported.parties, imported.foreignTag], [KEY, 'test', n, false]);
      t.same(steps, ['reading', 'generating', 'publishing', 'storing']);
      const ciphertext = await compressed.evaluation.encrypt(0xdead_beefn, EUINT64, BIG_COMPRESSED);
      const contributions = new Map<number, Uint8Array>();
      for (const { vault, party, publicVault, address } of nodes) {
        const catalogue = await loadShares(vault, party);
        const { shares, provenance, metadata } = catalogue.shares(DEFAULT_EPOCH_ID, KEY);
        t.same([provenance, shares.n, shares.party], ['imported', n, party]);
        for (const { type, digest } of metadata.keyDigests) {
          t.same(domainHash(HASH_TAG.key, await publicVault.get([type, KEY])), digest, `${type} of party ${party}`);
        }
        t.same(recoverSigner(signedDigest(metadata), metadata.externalSignature), address, `party ${party} signed`);
        using masks = testMaskKeys(n, (n - 1) / 3, party);
        const items = [{ ciphertext, fheType: EUINT64, format: BIG_COMPRESSED }];
        contributions.set(party, present((await partialDecrypt({ shares, masks, ...TEST_NAMES, items }))[0]));
        catalogue.dispose();
      }
      const quorum = { n, t: (n - 1) / 3, fheType: EUINT64, format: BIG_COMPRESSED };
      t.equal(fromLittleEndian(present(await openDecryption({ ...quorum, contributions })).plaintext), 0xdead_beefn);
    }
  },
);

function signedDigest(metadata: KeyGenMetadata): Uint8Array {
  const { keyId, preprocessingId, keyDigests, extraData } = metadata;
  const digests = keyDigests.flatMap(({ type, digest }) =>
    type === 'PublicKey' || type === 'CompressedXofKeySet' || type === 'ServerKey' ? [{ type, digest }] : [],
  );
  const content = { domain: DOMAIN, prepKeygenId: preprocessingId, keyId, keyDigests: digests, extraData };
  return keygenDigest(content, keccak256);
}

t.test('a centralized node gets the whole key, with the public objects that were given', async (t) => {
  const target = await node(1);
  const imported = await run([target], { material: files(compressed), keyId: OTHER });
  t.same([imported.keyId, imported.parties, imported.foreignTag], [OTHER, 0, true]);
  t.same(
    await target.publicVault.get(['PublicKey', OTHER]),
    new Uint8Array(readFileSync(join(compressed.folder, 'PublicKey'))),
  );
  const catalogue = await Catalogue.load(target.vault, { fromBytes: FheKey.fromBytes, developerKeys: true });
  const key = catalogue.key(DEFAULT_EPOCH_ID, OTHER);
  t.equal(key.provenance, 'imported');
  const ciphertext = await compressed.evaluation.encrypt(9n, EUINT64, BIG_COMPRESSED);
  const [opened] = await publicDecrypt(key, [{ ciphertext, fheType: EUINT64, format: BIG_COMPRESSED }]);
  t.equal(fromLittleEndian(present(opened)), 9n);
  catalogue.dispose();
});

t.test('a server key is taken as well, or made', async (t) => {
  const targets = [await node(1)];
  const serverKey = join(uncompressed.folder, 'ServerKey');
  const publicKey = join(uncompressed.folder, 'PublicKey');
  const imported = await run(targets, {
    clientKey: clientKeyOf(uncompressed.key),
    material: { publicKey, serverKey },
  });
  t.same(
    imported.objects.map(({ type }) => type),
    ['ServerKey', 'PublicKey'],
  );
  const made = await run([await node(1)], { material: 'uncompressed' });
  t.same(
    made.objects.map(({ type }) => type),
    ['ServerKey', 'PublicKey'],
  );
});

t.test('the key that is read is imported, has its own tag, and needs an id if that is none', async (t) => {
  using whole = readWholeKey(clientKey);
  t.same([whole.provenance, whole.params, whole.tag], ['imported', 'test', new Uint8Array(32).fill(0xa1)]);
});
