/**
 * Custodian formats from strangers: cut, extended, changed, contradictory. Each reader refuses or reads what was
 * written, and never throws anything else.
 */
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { systemRandom } from '../../../common/random.ts';
import { decodeTrust, encodeTrust } from '../../../custodian/trust.ts';
import { decodeBackupMaterial, encodeBackupMaterial } from '../../../wire/custodian/backup-material.ts';
import { hybridDecrypt, hybridEncrypt } from '../../../wire/custodian/hybrid.ts';
import { decodeKemPrivateKey, encapsulationKeyOf, encodeKemPrivateKey } from '../../../wire/custodian/kem-keys.ts';
import {
  checkContext,
  decodeCustodianContext,
  encodeCustodianContext,
  openRecoveryMaterial,
  signRecoveryMaterial,
} from '../../../wire/custodian/recovery-material.ts';
import {
  decodeRecoveryOutput,
  decodeRecoveryRequest,
  encodeRecoveryOutput,
  encodeRecoveryRequest,
} from '../../../wire/custodian/recovery-request.ts';
import {
  decodeSetupMessage,
  decodeSetupPayload,
  encodeSetupMessage,
  encodeSetupPayload,
} from '../../../wire/custodian/setup-message.ts';
import { present } from '../../helpers/present.ts';
import { BACKUP_ID, MPC_CONTEXT, makeScene } from './scene.ts';

const scene = makeScene(Date.UTC(2026, 0, 15));
const setup = present(scene.setups[0]);
const { context } = scene.material;
const ephemeralKey = encapsulationKeyOf(scene.ephemeral);
const request = { ephemeralKey, operatorKey: scene.node.publicKey, ciphertexts: scene.material.ciphertexts };
const share = {
  backupId: BACKUP_ID,
  mpcContextId: MPC_CONTEXT,
  custodianKey: setup.verificationKey,
  custodianRole: 1,
  operatorKey: scene.node.publicKey,
  share: new Uint8Array(64).fill(5),
};
const output = { custodianRole: 2, signcryption: new Uint8Array(900).fill(7) };
const { role: _role, name: _name, ...payload } = setup;
const invalid = { code: 'REQUEST_INVALID' };

/** Encoding, reader, and what reading must give. */
const FORMATS: Readonly<Record<string, readonly [Uint8Array, (bytes: Uint8Array) => unknown, unknown]>> = {
  'setup message': [encodeSetupMessage(setup), decodeSetupMessage, setup],
  'setup payload': [encodeSetupPayload(setup), decodeSetupPayload, payload],
  share: [encodeBackupMaterial(share), decodeBackupMaterial, share],
  context: [encodeCustodianContext(context), decodeCustodianContext, context],
  request: [encodeRecoveryRequest(request), decodeRecoveryRequest, request],
  output: [encodeRecoveryOutput(output), decodeRecoveryOutput, output],
  material: [scene.signedMaterial, (bytes) => openRecoveryMaterial(bytes, scene.node.publicKey), scene.material],
};

/** Plain values, so that views and copies compare alike. */
const plain = (value: unknown): string =>
  JSON.stringify(structuredClone(value), (_key, item: unknown) => {
    if (item instanceof Uint8Array) return toHex(item);
    if (item instanceof Map) return [...item];
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
  });

function refused(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (error instanceof KmsError) return true;
    throw error;
  }
}

for (const [name, [encoded, read, wanted]] of Object.entries(FORMATS)) {
  t.test(`${name}: what was written is read, cut and extended forms are refused`, async (t) => {
    t.equal(plain(read(encoded)), plain(wanted));
    const step = Math.max(1, Math.floor(encoded.byteLength / 150));
    for (let length = 0; length < encoded.byteLength; length += step) {
      if (!refused(() => read(encoded.subarray(0, length)))) t.fail(`cut to ${length} bytes`);
    }
    t.throws(() => read(Uint8Array.of(...encoded, 0)), { name: 'KmsError' }, 'a byte more');
  });

  t.test(`${name}: changed bytes are refused or are another value, nothing else happens`, async (t) => {
    fc.assert(
      fc.property(fc.nat(encoded.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = encoded.map((byte, index) => (index === at ? byte ^ flip : byte));
        return refused(() => read(changed)) || plain(read(changed)) !== plain(wanted);
      }),
      { numRuns: 150 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => refused(() => read(bytes))),
      { numRuns: 100 },
    );
    t.pass();
  });
}

t.test('contexts that do not fit together are refused, whoever made them', async (t) => {
  const with_ = (role: number, fields: object) =>
    new Map([...context.custodians].map(([r, s]) => [r, r === role ? { ...s, ...fields } : s]));
  const other = present(scene.setups[1]);
  const bad = {
    'the same encryption key twice': { custodians: with_(1, { ek: other.ek }) },
    'the same signing key twice': { custodians: with_(1, { verificationKey: other.verificationKey }) },
    'a number that is another’s': { custodians: with_(1, { role: 2 }) },
    'a number missing': {
      custodians: new Map([...context.custodians].map(([r, s]) => [r + 1, { ...s, role: r + 1 }])),
    },
    'a threshold of nobody': { threshold: 0 },
    'a threshold of too many': { threshold: 2 },
  };
  for (const [why, fields] of Object.entries(bad)) {
    t.throws(() => checkContext({ ...context, ...fields }), invalid, why);
    const material = { ...scene.material, context: { ...context, ...fields } };
    t.throws(() => signRecoveryMaterial(material, scene.node), invalid, `${why}, in material`);
  }
  const fewer = new Map([...scene.material.commitments].slice(1));
  t.throws(() => signRecoveryMaterial({ ...scene.material, commitments: fewer }, scene.node), invalid);
});

t.test('names that would paint over a terminal are refused', async (t) => {
  for (const name of ['a\u001b[2J', 'a\nb', 'a\u202eb', 'x'.repeat(257), 'a\u0000']) {
    t.throws(() => decodeSetupMessage(encodeSetupMessage({ ...setup, name })), invalid);
  }
});

t.test('private backup keys survive their stored form, and others are refused without a word about them', async (t) => {
  const stored = scene.secret;
  const key = decodeKemPrivateKey(stored);
  t.same(encodeKemPrivateKey(key), stored);
  t.throws(() => decodeKemPrivateKey(stored.subarray(1)), invalid);
  const broken = stored.map((byte, index) => (index >= stored.byteLength - 100 ? byte ^ 0xff : byte));
  t.throws(() => decodeKemPrivateKey(broken), { code: 'KEY_INVALID', cause: undefined });
});

t.test('hybrid ciphertexts open for their key alone and unchanged', async (t) => {
  const ciphertext = hybridEncrypt(ephemeralKey, Buffer.from('share'), systemRandom);
  t.equal(Buffer.from(hybridDecrypt(scene.ephemeral, ciphertext)).toString(), 'share');
  const other = decodeKemPrivateKey(scene.secret);
  t.throws(() => hybridDecrypt(other, ciphertext), { code: 'CIPHERTEXT_INVALID' });
  for (let at = 0; at < ciphertext.byteLength; at += 13) {
    const changed = ciphertext.map((byte, index) => (index === at ? byte ^ 1 : byte));
    if (!refused(() => hybridDecrypt(scene.ephemeral, changed))) t.fail(`byte ${at}`);
  }
  t.pass();
});

t.test('trust files with unknown, missing or wrong fields are refused', async (t) => {
  const text = encodeTrust(scene.trust);
  t.equal(plain(decodeTrust(text)), plain(scene.trust));
  const file = JSON.parse(text);
  for (const field of Object.keys(file)) {
    const { [field]: _left, ...rest } = file;
    t.throws(() => decodeTrust(JSON.stringify(rest)), { name: 'KmsError' }, `without ${field}`);
    t.throws(() => decodeTrust(JSON.stringify({ ...file, [field]: 'x' })), { name: 'KmsError' }, `wrong ${field}`);
  }
  t.throws(() => decodeTrust(JSON.stringify({ ...file, more: 1 })), invalid);
  t.throws(() => decodeTrust('{'), invalid);
});
