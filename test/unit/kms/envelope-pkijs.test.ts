/**
 * The envelopes in which AWS KMS answers, judged by pkijs, which shares no code with ours: each opens what the other makes.
 */
import { generateKeyPairSync, webcrypto } from 'node:crypto';
import { createRequire } from 'node:module';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { systemRandom } from '../../../common/random.ts';
import { KMS_ENVELOPE_FORMS, sealForRecipient } from '../../../emulators/aws-kms/seal-for-recipient.ts';
import { recipientKey } from '../../../enclave/keychain/recipient-key.ts';
import { type EnvelopeForm, readRecipientEnvelope } from '../../../wire/cms/recipient-envelope.ts';

// It comes with the independent verifier of attestation documents, and is asked for as that package does.
const requireThere = createRequire(createRequire(import.meta.url).resolve('@0xsequence/tee-verifier'));
const pkijs: Pkijs = requireThere('pkijs');
const asn1js: Asn1js = createRequire(requireThere.resolve('pkijs'))('asn1js');

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
const OAEP = { name: 'RSA-OAEP', hash: 'SHA-256' };
const OID = { oaep: '1.2.840.113549.1.1.7', mgf1: '1.2.840.113549.1.1.8', sha256: '2.16.840.1.101.3.4.2.1' };

/** As much of pkijs as is used. */
interface Pkijs {
  readonly ContentInfo: {
    new (fields: object): { toSchema(): Asn1 };
    fromBER(bytes: ArrayBuffer): { readonly content: unknown };
  };
  readonly EnvelopedData: new (
    fields: object,
  ) => {
    readonly recipientInfos: unknown[];
    readonly policy: { disableSplit: boolean };
    encrypt(algorithm: object, content: ArrayBuffer): Promise<unknown>;
    decrypt(recipient: number, key: { recipientPrivateKey: ArrayBuffer }): Promise<ArrayBuffer>;
    toSchema(): Asn1;
  };
  readonly AlgorithmIdentifier: new (fields: object) => { toSchema(): Asn1 };
  readonly RSAESOAEPParams: new (fields: object) => { toSchema(): Asn1 };
  readonly KeyTransRecipientInfo: new (fields: object) => object;
  readonly RecipientInfo: new (fields: object) => object;
}

interface Asn1 {
  toBER(): ArrayBuffer;
}

interface Asn1js {
  readonly OctetString: new (fields: { valueHex: ArrayBuffer }) => Asn1;
  readonly Null: new () => Asn1;
}

const bufferOf = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;

const FORMS: readonly EnvelopeForm[] = [
  ...KMS_ENVELOPE_FORMS,
  { lengths: 'definite', content: 'primitive' },
  { lengths: 'definite', content: { chunkBytes: 16 } },
];

t.test('pkijs opens what the emulator makes', async (t) => {
  const pkcs8 = bufferOf(privateKey.export({ type: 'pkcs8', format: 'der' }));
  for (const form of FORMS) {
    for (const size of [0, 48, 3000]) {
      const plaintext = systemRandom(size);
      const sealed = sealForRecipient(publicKey, plaintext, { form, random: systemRandom });
      const info = pkijs.ContentInfo.fromBER(bufferOf(sealed));
      const enveloped = new pkijs.EnvelopedData({ schema: info.content });
      const opened = await enveloped.decrypt(0, { recipientPrivateKey: pkcs8 });
      t.equal(toHex(new Uint8Array(opened)), toHex(plaintext), `${JSON.stringify(form)}, ${size} bytes`);
    }
  }
});

t.test('what pkijs makes opens, its content whole or in chunks', async (t) => {
  for (const disableSplit of [true, false]) {
    for (const size of [0, 32, 3000]) {
      const plaintext = systemRandom(size);
      const envelope = await madeByPkijs(plaintext, { disableSplit });
      const what = `${size} bytes, ${disableSplit ? 'whole' : 'in chunks'}`;
      t.equal(toHex(recipientKey(spki, privateKey).open(envelope)), toHex(plaintext), what);
    }
  }
});

t.test('what pkijs makes in another form is refused', async (t) => {
  const cases: readonly (readonly [string, Settings])[] = [
    ['SHA-1 in OAEP', { hash: 'SHA-1' }],
    ['AES-128', { bits: 128 }],
    ['two recipients', { recipients: 2 }],
  ];
  for (const [why, settings] of cases) {
    const envelope = await madeByPkijs(systemRandom(32), settings);
    t.throws(() => readRecipientEnvelope(envelope), { code: 'REQUEST_INVALID' }, why);
  }
});

interface Settings {
  readonly disableSplit?: boolean;
  readonly hash?: 'SHA-256' | 'SHA-1';
  readonly bits?: 128 | 256;
  readonly recipients?: number;
}

/** An envelope for our key, by key identifier. */
async function madeByPkijs(
  plaintext: Uint8Array,
  { disableSplit = true, hash = 'SHA-256', bits = 256, recipients = 1 }: Settings,
): Promise<Uint8Array> {
  const enveloped = new pkijs.EnvelopedData({ policy: { disableSplit } });
  const key = await webcrypto.subtle.importKey('spki', spki, { ...OAEP, hash }, true, ['encrypt']);
  for (let i = 0; i < recipients; i++) enveloped.recipientInfos.push(recipientOf(key, hash));
  await enveloped.encrypt({ name: 'AES-CBC', length: bits }, bufferOf(plaintext));
  const content = enveloped.toSchema();
  const info = new pkijs.ContentInfo({ contentType: '1.2.840.113549.1.7.3', content });
  return new Uint8Array(info.toSchema().toBER());
}

/** pkijs makes these from certificates alone; KMS has a bare key, so it is handed one in a certificate's place. */
function recipientOf(key: webcrypto.CryptoKey, hash: 'SHA-256' | 'SHA-1'): object {
  const hashOid = hash === 'SHA-256' ? OID.sha256 : '1.3.14.3.2.26';
  const hashAlgorithm = new pkijs.AlgorithmIdentifier({ algorithmId: hashOid, algorithmParams: new asn1js.Null() });
  const algorithmParams = new pkijs.RSAESOAEPParams({
    hashAlgorithm,
    maskGenAlgorithm: new pkijs.AlgorithmIdentifier({
      algorithmId: OID.mgf1,
      algorithmParams: hashAlgorithm.toSchema(),
    }),
  }).toSchema();
  const value = new pkijs.KeyTransRecipientInfo({
    version: 2,
    rid: new asn1js.OctetString({ valueHex: bufferOf(systemRandom(32)) }),
    keyEncryptionAlgorithm: new pkijs.AlgorithmIdentifier({ algorithmId: OID.oaep, algorithmParams }),
    recipientCertificate: { getPublicKey: async () => key },
  });
  return new pkijs.RecipientInfo({ variant: 1, value });
}
