/** The keys of Arca's own signatures: derived as documented, one per purpose, and Ed25519 as another library has it. */
import { createHash, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import t from 'tap';
import { type KeyPurpose, NodeKey } from '../../../native/engine/index.ts';
import { hex, toHex, vectors } from './crypto-vectors.ts';

const PURPOSES: readonly KeyPurpose[] = ['mesh', 'manifest', 'object', 'record'];
const PKCS8 = '302e020100300506032b657004220420';
const scalar = hex(vectors.k0.secret);

function expectedKey(purpose: string) {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(purpose.length));
  const hash = createHash('shake256', { outputLength: 32 });
  const seed = hash.update('ARCAKEYS').update(length).update(purpose).update(Uint8Array.of(1)).update(scalar).digest();
  const der = Buffer.concat([hex(PKCS8), seed]);
  return createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
}

t.test('each purpose has the key that its documented seed gives, and signs with it', async (t) => {
  using key = NodeKey.fromBytes(scalar);
  const message = Buffer.from('what is signed');
  const seen = new Set<string>();
  for (const purpose of PURPOSES) {
    const theirs = expectedKey(purpose);
    const ours = key.purposePublicKey(purpose);
    t.equal(toHex(ours), toHex(theirs.export({ format: 'der', type: 'spki' }).subarray(-32)), purpose);
    t.ok(verify(null, message, theirs, key.signPurpose(purpose, message)), `${purpose}: signature`);
    seen.add(toHex(ours));
  }
  seen.add(toHex(key.derivedPublicKey(1)));
  t.equal(seen.size, PURPOSES.length + 1, 'no two are equal, nor equal to the published Ed25519 key');
});

t.test('refuses purposes that no table names', async (t) => {
  using key = NodeKey.fromBytes(scalar);
  for (const purpose of ['', 'Mesh', 'mesh\0', 'seal']) {
    // @ts-expect-error not a purpose
    t.throws(() => key.purposePublicKey(purpose), { code: 'REQUEST_INVALID' }, JSON.stringify(purpose));
  }
});
