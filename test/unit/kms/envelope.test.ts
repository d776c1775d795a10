/**
 * The envelopes in which AWS KMS answers: every encoding, openssl as an independent judge (pkijs: envelope-pkijs.test.ts), hostile input.
 */
import { execFileSync } from 'node:child_process';
import { createCipheriv, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { concatBytes, toHex } from '../../../common/bytes.ts';
import { systemRandom } from '../../../common/random.ts';
import { KMS_ENVELOPE_FORMS, sealForRecipient } from '../../../emulators/aws-kms/seal-for-recipient.ts';
import { makeRecipientKey, recipientKey, recipientKeys } from '../../../enclave/keychain/recipient-key.ts';
import { BER_TAG, encodeDefinite, encodeIndefinite, readBer } from '../../../wire/cms/ber.ts';
import {
  type EnvelopeForm,
  MAX_ENVELOPE_BYTES,
  readRecipientEnvelope,
  writeRecipientEnvelope,
} from '../../../wire/cms/recipient-envelope.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const OPENSSL = 'openssl';
const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
const CANNOT_OPEN = { code: 'STATE_INVALID', message: 'the answer of AWS KMS cannot be opened', facts: {} };
const NO_ENVELOPE = { code: 'REQUEST_INVALID', message: 'not an envelope in the form of AWS KMS' };

const DER: EnvelopeForm = { lengths: 'definite', content: 'primitive' };
const FORMS: readonly EnvelopeForm[] = [
  ...KMS_ENVELOPE_FORMS,
  DER,
  { lengths: 'definite', content: { chunkBytes: 16 } },
  { lengths: 'indefinite', content: { chunkBytes: 100 } },
];
const nameOf = (form: EnvelopeForm): string => JSON.stringify(form);
const open = (envelope: Uint8Array, key: KeyObject = privateKey) => recipientKey(spki, key).open(envelope);
const seal = (plaintext: Uint8Array, form: EnvelopeForm) =>
  sealForRecipient(publicKey, plaintext, { form, random: systemRandom });

t.test('an answer opens in every encoding', async (t) => {
  for (const form of FORMS) {
    for (const size of [0, 1, 15, 16, 32, 4096]) {
      const plaintext = systemRandom(size);
      t.equal(toHex(open(seal(plaintext, form))), toHex(plaintext), `${nameOf(form)}, ${size} bytes`);
    }
  }
});

t.test('what is written is read back', async (t) => {
  const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max });
  const envelopes = fc.record({
    keyIdentifier: bytes(1, 64),
    encryptedKey: bytes(16, 512),
    iv: bytes(16, 16),
    content: fc.integer({ min: 1, max: 20 }).chain((blocks) => bytes(blocks * 16, blocks * 16)),
  });
  fc.assert(
    fc.property(envelopes, fc.constantFrom(...FORMS), (envelope, form) => {
      const read = readRecipientEnvelope(writeRecipientEnvelope(envelope, form));
      for (const name of ['keyIdentifier', 'encryptedKey', 'iv', 'content'] as const) {
        if (toHex(read[name]) !== toHex(envelope[name])) return false;
      }
      return true;
    }),
  );
  t.pass('1 property');
});

t.test('openssl opens what the emulator makes', async (t) => {
  const dir = tempDir(t);
  const keyFile = join(dir, 'key.pem');
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  for (const form of FORMS) {
    const plaintext = systemRandom(32);
    writeFileSync(join(dir, 'in.der'), seal(plaintext, form));
    const arguments_ = ['cms', '-decrypt', '-inform', 'DER', '-in', 'in.der', '-inkey', keyFile, '-out', 'out.bin'];
    execFileSync(OPENSSL, arguments_, { cwd: dir, stdio: 'pipe' });
    t.equal(toHex(readFileSync(join(dir, 'out.bin'))), toHex(plaintext), nameOf(form));
  }
});

t.test('what openssl makes opens, streamed or whole', async (t) => {
  const dir = tempDir(t);
  const keyFile = join(dir, 'key.pem');
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const run = (...args: string[]) => execFileSync(OPENSSL, args, { cwd: dir, stdio: 'pipe' });
  run('req', '-new', '-x509', '-key', keyFile, '-subj', '/CN=recipient', '-out', 'cert.pem', '-days', '2');
  const plaintext = systemRandom(3000);
  writeFileSync(join(dir, 'plain.bin'), plaintext);
  const common = ['cms', '-encrypt', '-binary', '-aes-256-cbc', '-in', 'plain.bin', '-outform', 'DER', '-keyid'];
  const oaep = ['rsa_padding_mode:oaep', 'rsa_oaep_md:sha256', 'rsa_mgf1_md:sha256'];
  const keyOptions = oaep.flatMap((option) => ['-keyopt', option]);
  for (const how of [[], ['-stream']]) {
    run(...common, ...how, '-out', 'out.der', '-recip', 'cert.pem', ...keyOptions);
    t.equal(toHex(open(readFileSync(join(dir, 'out.der')))), toHex(plaintext), how.join(' ') || 'whole');
  }
});

t.test('an envelope that is cut, extended or has any bit changed gives one error or the same key', async (t) => {
  const plaintext = systemRandom(32);
  for (const form of KMS_ENVELOPE_FORMS) {
    const envelope = seal(plaintext, form);
    for (let size = 0; size < envelope.length; size++) {
      t.throws(() => open(envelope.subarray(0, size)), CANNOT_OPEN, `cut to ${size}`);
    }
    t.throws(() => open(concatBytes(envelope, Uint8Array.of(0))), CANNOT_OPEN, 'extended');
    for (let at = 0; at < envelope.length; at++) {
      const changed = Uint8Array.from(envelope);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const outcome = outcomeOf(() => open(changed));
      // Key identifier, IV and the content's first block carry no check of their own: that is what the key length is for.
      if (outcome instanceof Uint8Array) continue;
      t.match(outcome, CANNOT_OPEN, `byte ${at}`);
      t.equal(outcome instanceof Error ? outcome.cause : 'none', undefined, 'no cause tells what failed');
    }
  }
});

function outcomeOf(run: () => Uint8Array): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

t.test('every rule of the form is kept', async (t) => {
  const good = { keyIdentifier: systemRandom(32), encryptedKey: systemRandom(256), iv: systemRandom(16) };
  const plain = writeRecipientEnvelope({ ...good, content: systemRandom(48) }, DER);
  readRecipientEnvelope(plain);
  const swap = (from: string, to: string) => {
    const hex = toHex(plain);
    t.ok(hex.includes(from), `${from} is in the envelope`);
    return Uint8Array.from(Buffer.from(hex.replace(from, to), 'hex'));
  };
  const bad: readonly [string, Uint8Array][] = [
    ['another content type', swap('2a864886f70d010703', '2a864886f70d010702')],
    ['PKCS#1 v1.5', swap('2a864886f70d010107', '2a864886f70d010101')],
    ['another mask', swap('2a864886f70d010108', '2a864886f70d010109')],
    ['SHA-384 in OAEP', swap('608648016503040201', '608648016503040202')],
    ['AES-128', swap('60864801650304012a', '608648016503040102')],
    ['AES-256-GCM', swap('60864801650304012a', '60864801650304012e')],
    ['version 0', swap('020102', '020100')],
    ['a short IV', writeRecipientEnvelope({ ...good, iv: systemRandom(15), content: systemRandom(16) }, DER)],
    ['half a block', writeRecipientEnvelope({ ...good, content: systemRandom(24) }, DER)],
    ['no content', writeRecipientEnvelope({ ...good, content: new Uint8Array(0) }, DER)],
    [
      'no key identifier',
      writeRecipientEnvelope({ ...good, keyIdentifier: new Uint8Array(0), content: systemRandom(16) }, DER),
    ],
    ['too long', new Uint8Array(MAX_ENVELOPE_BYTES + 1)],
    ['two recipients', twoRecipients(plain)],
  ];
  for (const [why, bytes] of bad) t.throws(() => readRecipientEnvelope(bytes), NO_ENVELOPE, why);
});

/** The same envelope with its recipient twice. */
function twoRecipients(envelope: Uint8Array): Uint8Array {
  const write = (item: ReturnType<typeof readBer>): Uint8Array => {
    const isRecipients = item.tag === BER_TAG.set;
    const inside = item.items.map(write);
    if (inside.length === 0) return encodeDefinite(item.tag, item.content);
    return encodeDefinite(item.tag, ...inside, ...(isRecipients ? inside : []));
  };
  return write(readBer(envelope, envelope.length));
}

t.test('a content key of another size, and wrong padding, are refused like everything else', async (t) => {
  const sealWith = (contentKey: Uint8Array, content: Uint8Array, iv: Uint8Array) => {
    const real = readRecipientEnvelope(seal(contentKey, DER));
    return writeRecipientEnvelope({ ...real, iv, content }, DER);
  };
  t.throws(() => open(sealWith(systemRandom(16), systemRandom(48), systemRandom(16))), CANNOT_OPEN);
  const key = systemRandom(32);
  const cipher = createCipheriv('aes-256-cbc', key, systemRandom(16)).setAutoPadding(false);
  const unpadded = Buffer.concat([cipher.update(new Uint8Array(48)), cipher.final()]);
  t.throws(() => open(sealWith(key, unpadded, systemRandom(16))), CANNOT_OPEN);
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  t.throws(() => open(seal(systemRandom(32), DER), other), CANNOT_OPEN);
});

t.test('a key opens one envelope', async (t) => {
  const key = recipientKey(spki, privateKey);
  const envelope = seal(systemRandom(32), DER);
  key.open(envelope);
  t.throws(() => key.open(envelope), CANNOT_OPEN, 'the same again');
  const spoilt = recipientKey(spki, privateKey);
  t.throws(() => spoilt.open(new Uint8Array(8)), CANNOT_OPEN);
  t.throws(() => spoilt.open(envelope), CANNOT_OPEN, 'a good one after a bad one');
});

t.test('keys are made one ahead, each handed out once, and a failure is not kept', async (t) => {
  let made = 0;
  const source = recipientKeys(async () => {
    made += 1;
    if (made === 2) throw new Error('no entropy');
    return recipientKey(Uint8Array.of(made), privateKey);
  });
  t.same((await source.take()).publicKey, Uint8Array.of(1));
  await t.rejects(source.take(), { message: 'no entropy' });
  t.same((await source.take()).publicKey, Uint8Array.of(3));
  t.same((await source.take()).publicKey, Uint8Array.of(4));
});

t.test('a real key is RSA-2048 and fits into a document', async (t) => {
  const key = await makeRecipientKey();
  t.equal(key.publicKey.length, 294);
});

t.test('the BER reader is bounded', async (t) => {
  const refused = { code: 'REQUEST_INVALID', message: /^not BER/ };
  const nested = (depth: number): Uint8Array =>
    depth === 0 ? new Uint8Array(0) : encodeIndefinite(BER_TAG.sequence, nested(depth - 1));
  const bad: readonly [string, Uint8Array][] = [
    ['nothing', new Uint8Array(0)],
    ['too deep', nested(64)],
    ['too many', encodeDefinite(BER_TAG.sequence, ...Array.from({ length: 600 }, () => Uint8Array.of(5, 0)))],
    ['a long tag', Uint8Array.of(0x1f, 0x81, 0x01, 0x00)],
    ['a primitive of indefinite length', Uint8Array.of(0x04, 0x80, 0, 0)],
    ['a length of eight bytes', Uint8Array.of(0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 0)],
    ['a length beyond the end', Uint8Array.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff)],
    ['a lone end of contents', Uint8Array.of(0, 0)],
    ['an end of contents in a definite item', Uint8Array.of(0x30, 2, 0, 0)],
    ['an end of contents with content', Uint8Array.of(0x30, 0x80, 0, 1, 0)],
    ['no end of contents', Uint8Array.of(0x30, 0x80, 5, 0)],
    ['an inner item that leaves the outer one', Uint8Array.of(0x30, 3, 0x04, 5, 0, 0, 0, 0)],
  ];
  for (const [why, bytes] of bad) t.throws(() => readBer(bytes, 64 * 1024), refused, why);
  t.throws(() => readBer(Uint8Array.of(5, 0), 1), refused, 'longer than allowed');
  t.same(readBer(Uint8Array.of(0x04, 0x82, 0, 1, 7), 16).content, Uint8Array.of(7), 'BER takes longer lengths');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        readBer(bytes, 200);
      } catch (error) {
        return error instanceof Error && error.name === 'KmsError';
      }
      return true;
    }),
  );
});
