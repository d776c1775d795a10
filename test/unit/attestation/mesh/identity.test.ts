/**
 * Identity certificates and mesh signatures: who signed is who is recovered, and a change of any byte shows.
 */
import { createHash } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import fc from 'fast-check';
import t from 'tap';
import { type CborValue, encodeCanonical } from '../../../../attestation/cbor.ts';
import {
  certifyIdentity,
  identityDigest,
  identityFromCbor,
  identityToCbor,
  recoverIdentityAddress,
  verifyMeshSignature,
} from '../../../../attestation/mesh/identity.ts';
import type { IdentityCertificate } from '../../../../attestation/mesh/mesh-context.ts';
import { toHex } from '../../../../common/bytes.ts';
import { makeTestParty } from '../../../helpers/mesh-pair.ts';

const NETWORK = 'dev:test';
const { identity, address } = await makeTestParty(NETWORK, 3);
const { certificate } = identity;

t.test('the digest is SHA-256 over the canonical array, byte by byte', async (t) => {
  const key = new Uint8Array(32).fill(0xaa);
  const preimage = `85${'6f'}${Buffer.from('arca-identity-1').toString('hex')}${'68'}${Buffer.from(NETWORK).toString('hex')}03${'64'}${Buffer.from('mesh').toString('hex')}5820${'aa'.repeat(32)}`;
  t.equal(toHex(encodeCanonical(['arca-identity-1', NETWORK, 3, 'mesh', key])), preimage);
  const expected = createHash('sha256').update(Buffer.from(preimage, 'hex')).digest('hex');
  t.equal(toHex(identityDigest({ network: NETWORK, party: 3, purpose: 'mesh', key })), expected);
});

t.test('a certificate recovers to the address of the node key that made it', async (t) => {
  t.same(recoverIdentityAddress(certificate), address);
  t.same(recoverIdentityAddress(certificate), address, 'and again from memory');
  const ethereum = Uint8Array.from(certificate.signature);
  ethereum[64] = (ethereum[64] ?? 0) + 27;
  t.same(recoverIdentityAddress({ ...certificate, signature: ethereum }), address, 'with v of 27 or 28 too');
  const inMemory = recoverIdentityAddress(certificate);
  inMemory.fill(0);
  t.same(recoverIdentityAddress(certificate), address, 'what is returned belongs to the caller');
});

t.test('another network, party, key or signature recovers to another address, or to none', async (t) => {
  const changes: readonly Partial<IdentityCertificate>[] = [
    { network: 'dev:tesu' },
    { party: 4 },
    { key: new Uint8Array(32) },
    { signature: flip(certificate.signature, 5) },
    { signature: flip(certificate.signature, 40) },
    { signature: flip(certificate.signature, 64) },
  ];
  for (const change of changes) {
    let found = 'none';
    try {
      found = toHex(recoverIdentityAddress({ ...certificate, ...change }));
    } catch (error) {
      t.match(error, { code: 'ATTESTATION_INVALID' });
    }
    t.not(found, toHex(address), Object.keys(change).join());
  }
});

t.test('a signature that nobody can have made is refused', async (t) => {
  const s = secp256k1.Point.CURVE().n - BigInt(`0x${toHex(certificate.signature.subarray(32, 64))}`);
  const high = Buffer.from(certificate.signature);
  high.set(Buffer.from(s.toString(16).padStart(64, '0'), 'hex'), 32);
  high[64] = (high[64] ?? 0) ^ 1;
  const impossible = [high, new Uint8Array(65), new Uint8Array(65).fill(0xff), withV(2), withV(26), withV(29)];
  for (const signature of impossible) {
    t.throws(() => recoverIdentityAddress({ ...certificate, signature }), { code: 'ATTESTATION_INVALID' });
  }
});

t.test('certificates are read from exactly the form that is written', async (t) => {
  t.same(identityFromCbor(identityToCbor(certificate), 'mesh'), certificate);
  const good = [NETWORK, 3, 'mesh', certificate.key, certificate.signature];
  const bad: readonly (readonly [string, CborValue])[] = [
    ['text', 'x'],
    ['too few', good.slice(0, 4)],
    ['too many', [...good, 1]],
    ['party 0', [NETWORK, 0, 'mesh', certificate.key, certificate.signature]],
    ['party 65,536', [NETWORK, 65_536, 'mesh', certificate.key, certificate.signature]],
    ['another purpose', [NETWORK, 3, 'object', certificate.key, certificate.signature]],
    ['a key for records', [NETWORK, 3, 'record', certificate.key, certificate.signature]],
    ['a short key', [NETWORK, 3, 'mesh', certificate.key.subarray(1), certificate.signature]],
    ['a long signature', [NETWORK, 3, 'mesh', certificate.key, new Uint8Array(66)]],
    ['a long network', ['n'.repeat(65), 3, 'mesh', certificate.key, certificate.signature]],
  ];
  for (const [what, value] of bad) t.throws(() => identityFromCbor(value, 'mesh'), { code: 'REQUEST_INVALID' }, what);
});

t.test('certifying asks for a signature over the digest and nothing else', async (t) => {
  const asked: Uint8Array[] = [];
  const made = await certifyIdentity(
    { network: NETWORK, party: 3, purpose: 'mesh', key: certificate.key },
    async (digest) => {
      asked.push(digest);
      return certificate.signature;
    },
  );
  t.same(made, certificate);
  t.same(asked, [identityDigest(certificate)]);
});

t.test('mesh signatures hold for their key and data alone, and malformed ones are just false', async (t) => {
  const data = new Uint8Array(48).fill(1);
  const signature = identity.sign(data);
  t.ok(verifyMeshSignature(identity.publicKey, data, signature));
  t.notOk(verifyMeshSignature(identity.publicKey, flip(data, 0), signature));
  t.notOk(verifyMeshSignature(identity.publicKey, data, flip(signature, 63)));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 80 }), (key, bytes) => {
      return !verifyMeshSignature(key, data, bytes) && !verifyMeshSignature(identity.publicKey, data, bytes);
    }),
  );
});

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

function withV(v: number): Uint8Array {
  const changed = Uint8Array.from(certificate.signature);
  changed[64] = v;
  return changed;
}
