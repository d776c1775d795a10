/**
 * Custodian formats, byte for byte as the published KMS writes them: digests of its seeded fixtures.
 */
import { createHash, decapsulate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { concatBytes, fromHex, toHex } from '../../../common/bytes.ts';
import type { RandomSource } from '../../../common/random.ts';
import { aesCounterStream } from '../../../custodian/custodian-keys.ts';
import { BincodeWriter } from '../../../wire/bincode.ts';
import { backupCommitment, encodeBackupMaterial } from '../../../wire/custodian/backup-material.ts';
import { writeSigncryption, writeVersion } from '../../../wire/custodian/fields.ts';
import { encapsulationKeyOf, kemKeyFromSeed } from '../../../wire/custodian/kem-keys.ts';
import { shareBackupKey } from '../../../wire/custodian/operator.ts';
import {
  encodeCustodianContext,
  recoveryMaterialBody,
  signRecoveryMaterial,
} from '../../../wire/custodian/recovery-material.ts';
import { encodeRecoveryOutput, encodeRecoveryRequest } from '../../../wire/custodian/recovery-request.ts';
import { type CustodianSetup, encodeSetupMessage } from '../../../wire/custodian/setup-message.ts';
import { type SigncryptionTag, signcryptFor } from '../../../wire/custodian/signcryption.ts';
import { idFromBytes } from '../../../wire/ids.ts';
import { encodePublicSigKey } from '../../../wire/signing-keys.ts';
import { encapsulateWith } from '../../helpers/ml-kem-encaps.ts';
import { present } from '../../helpers/present.ts';
import { seededRandom } from '../../helpers/seeded-rng.ts';
import { nodeSigner } from './scene.ts';

const stored = JSON.parse(
  readFileSync(new URL('../../vectors/custodian/stored-digests.json', import.meta.url), 'utf8'),
);
const timestamp = { seconds: stored.timestampSeconds, nanos: 0 };
const PUBLISHED_HEADER = 'ZAMA TKMS SETUP TEST OPERATORS-CUSTODIAN';

/** What the fixture of a name must be. */
function same(t: Test, name: string, body: Uint8Array): void {
  t.equal(body.byteLength, stored[name].sizeBytes);
  t.equal(createHash('sha256').update(body).digest('hex'), stored[name].sha256);
}

/** The body of a safe-serialized object: fixtures have no header. */
function bodyOf(bytes: Uint8Array, typeName: string): Uint8Array {
  return bytes.subarray(8 + 3 + 4 + 8 + 3 + 8 + typeName.length);
}

/** Puts other byte strings in the place of some. */
function replaced(bytes: Uint8Array, pairs: readonly (readonly [Uint8Array, Uint8Array])[]): Uint8Array {
  const latin1 = (part: Uint8Array): string => Buffer.from(part).toString('latin1');
  const text = pairs.reduce((sum, [from, to]) => sum.replaceAll(latin1(from), latin1(to)), latin1(bytes));
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

/** The setup messages of some fixtures have a header of their own. */
function withFixtureHeader(bytes: Uint8Array): Uint8Array {
  const framed = (text: string): Uint8Array => new BincodeWriter().string(text).finish();
  return replaced(bytes, [[framed(PUBLISHED_HEADER), framed('header')]]);
}

const source =
  (random: (sizeBytes: number) => Uint8Array): RandomSource =>
  (sizeBytes) =>
    Uint8Array.from(random(sizeBytes));
const keyPair = (random: (sizeBytes: number) => Uint8Array) => encapsulationKeyOf(kemKeyFromSeed(random(64)));
const repeated = (byte: number) => idFromBytes(new Uint8Array(32).fill(byte));

t.test('a setup message has the digest of the published fixture', async (t) => {
  const random = seededRandom(stored.setupMessage.seed);
  const { publicKey } = nodeSigner(random(32));
  const ek = keyPair(random);
  const setup = { role: 1, name: 'custodian-1', randomValue: random(32), timestamp, ek, verificationKey: publicKey };
  same(t, 'setupMessage', bodyOf(encodeSetupMessage(setup), 'backup::InternalCustodianSetupMessage'));
});

t.test('a recovery request has the digest of the published fixture', async (t) => {
  const random = seededRandom(stored.recoveryRequest.seed);
  const ephemeralKey = keyPair(random);
  const operatorKey = nodeSigner(random(32)).publicKey;
  const ciphertexts = new Map(Array.from({ length: 10 }, (_, index) => [index + 1, random(32)]));
  const encoded = encodeRecoveryRequest({ ephemeralKey, operatorKey, ciphertexts });
  same(t, 'recoveryRequest', bodyOf(encoded, 'backup::InternalRecoveryRequest'));
});

t.test('an answer to one has the digest of the published fixture', async (t) => {
  const signcryption = seededRandom(stored.recoveryOutput.seed)(100);
  const encoded = encodeRecoveryOutput({ custodianRole: 2, signcryption });
  same(t, 'recoveryOutput', bodyOf(encoded, 'backup::CustodianRecoveryOutput'));
});

t.test('context, commitments and signed recovery material have the digests of the published fixtures', async (t) => {
  const random = seededRandom(stored.recoveryMaterial.seed);
  const contextId = idFromBytes(random(32));
  const node = nodeSigner(random(32));
  const ciphertexts = new Map<number, Uint8Array>();
  const commitments = new Map<number, Uint8Array>();
  for (let role = 1; role <= 5; role++) {
    const share = {
      backupId: contextId,
      mpcContextId: repeated(9),
      custodianKey: nodeSigner(random(32)).publicKey,
      custodianRole: role,
      operatorKey: node.publicKey,
      share: new Uint8Array(0),
    };
    commitments.set(role, backupCommitment(encodeBackupMaterial(share)));
    ciphertexts.set(role, random(32));
  }
  const backupKey = keyPair(random);
  const custodianKey = nodeSigner(random(32)).publicKey;

  // In the fixture all custodians have one key, which we refuse: other keys stand in for it, and are put back.
  const standIns: (readonly [Uint8Array, Uint8Array])[] = [];
  const custodians = new Map<number, CustodianSetup>();
  for (let role = 1; role <= 5; role++) {
    const ek = encapsulationKeyOf(kemKeyFromSeed(new Uint8Array(64).fill(role)));
    const verificationKey = nodeSigner(new Uint8Array(32).fill(role)).publicKey;
    standIns.push([ek, backupKey], [verificationKey, custodianKey]);
    const randomValue = new Uint8Array(32).fill(4);
    custodians.set(role, { role, name: `Custodian-${role}`, randomValue, timestamp, ek, verificationKey });
  }
  const context = { threshold: 1, contextId, custodians, backupKey };
  const asPublished = (bytes: Uint8Array) => withFixtureHeader(replaced(bytes, standIns));
  const encoded = encodeCustodianContext(context);
  same(t, 'custodianContext', asPublished(bodyOf(encoded, 'backup::InternalCustodianContext')));

  const material = { ciphertexts, commitments, context, mpcContextId: repeated(7) };
  const body = recoveryMaterialBody(material);
  const signer = {
    publicKey: node.publicKey,
    signSha256: () => node.signSha256(concatBytes(Buffer.from('BKUPRECO'), asPublished(body))),
  };
  const signed = signRecoveryMaterial(material, signer);
  same(t, 'recoveryMaterial', asPublished(bodyOf(signed, 'backup::RecoveryValidationMaterial')));
});

t.test('encapsulation with chosen randomness agrees with OpenSSL', async (t) => {
  for (let seed = 1; seed <= 4; seed++) {
    const random = seededRandom(seed);
    const privateKey = kemKeyFromSeed(random(64));
    const { sharedKey, ciphertext } = encapsulateWith(encapsulationKeyOf(privateKey), random(32));
    t.same(Uint8Array.from(decapsulate(privateKey, ciphertext)), sharedKey);
  }
});

t.test('a signcryption has the digest of the published fixture', async (t) => {
  const random = seededRandom(stored.unifiedSigncryption.seed);
  const sender = nodeSigner(random(32));
  const { address } = nodeSigner(random(32));
  const receiver = { address, ek: keyPair(random) };
  const message = encodePublicSigKey(sender.publicKey);
  const tag = 'TESTTEST' as SigncryptionTag;
  const kem = (ek: Uint8Array) => encapsulateWith(ek, random(32));
  const payload = signcryptFor(receiver, tag, message, sender, source(random), kem);
  const writer = new BincodeWriter();
  writeSigncryption(writer, payload, 'stored');
  same(t, 'unifiedSigncryption', writer.finish());
});

t.test('a shared and signcrypted backup has the digest of the published fixture', async (t) => {
  const random = seededRandom(stored.operatorBackupOutput.seed);
  const keys = [1, 2, 3].map((role) => {
    const verificationKey = nodeSigner(random(32)).publicKey;
    return { role, verificationKey, ek: keyPair(random) };
  });
  const setups = keys.map((key): CustodianSetup => ({ ...key, name: '', randomValue: random(32), timestamp }));
  const signer = nodeSigner(random(32));
  const material = shareBackupKey({
    context: {
      threshold: 1,
      contextId: repeated(1),
      custodians: new Map(setups.map((setup) => [setup.role, setup])),
      backupKey: present(keys[0]).ek,
    },
    mpcContextId: repeated(9),
    secret: new Uint8Array(32),
    signer,
    random: source(random),
    encapsulate: (ek) => encapsulateWith(ek, random(32)),
  });
  const writer = new BincodeWriter();
  writeVersion(writer, 'stored');
  writeSigncryption(writer, present(material.ciphertexts.get(1)), 'stored');
  same(t, 'operatorBackupOutput', writer.finish());
});

t.test('the generator behind a seed phrase gives the published stream', async (t) => {
  const next = aesCounterStream(fromHex(stored.aesStream.seed));
  const stream = concatBytes(next(64), next(16 * 200));
  const block = (index: number) => toHex(stream.subarray(16 * index, 16 * index + 16));
  t.equal(block(16), stored.aesStream.block16);
  t.equal(block(128), stored.aesStream.block128);
});
