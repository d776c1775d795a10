/**
 * A whole run of a node at its most talkative, faults and a restart included: nothing secret, and nothing that a
 * user supplied but ids, stands in its log, its metrics or its shown configuration.
 */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { concatBytes, toHex } from '../../common/bytes.ts';
import { KeyGenResultSchema } from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID, idBytes } from '../../wire/ids.ts';
import { findLeaks, type Secret } from '../helpers/find-leaks.ts';
import { freshId, newUser, publicDecryption, statusOf, userDecryption } from '../helpers/party-requests.ts';
import { encryptFor, startParty, TEST_DOMAIN } from '../helpers/start-party.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const PUBLIC_VALUE = 0xc0de_face_1357_9bdfn;
const USER_VALUE = 0xfeed_5eed_2468_ace1n;
const DOMAIN_NAME = 'Marmalade Orange Domain';
/** What the vault keeps because it must not go back, not because it is secret: docs/formats/private-objects.md. */
const PUBLIC_IN_VAULT = /(?:^|\/)(?:Governance|Incarnation)\//;
const EXTRA_DATA = Uint8Array.of(0x5a, 0xa5, 0x3c, 0xc3, 0x69, 0x96, 0x0f, 0xf0, 0x1e, 0xe1, 0x2d);

/** The parts of encoded private keys that are no secret: two keys of a kind share them. */
function frameOfKey(kind: string): Uint8Array {
  const make = () => {
    const { privateKey } =
      kind === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-384' }) : generateKeyPairSync('ed25519');
    return privateKey.export({ type: 'pkcs8', format: 'der' });
  };
  const [one, other] = [make(), make()];
  return one.map((byte, at) => (byte === other[at] ? byte : 0));
}

/** Every file below a folder. */
function filesBelow(dir: string): { name: string; bytes: Uint8Array }[] {
  return globSync('**/*', { cwd: dir })
    .filter((name) => statSync(join(dir, name)).isFile())
    .map((name) => ({ name, bytes: readFileSync(join(dir, name)) }));
}

t.test('a whole run leaves no secret and no user data in what the node tells', async (t) => {
  const dir = tempDir(t);
  const told: string[] = [];
  const user = newUser();

  const first = await startParty(t, { dir, logLevel: 'trace' });
  const { keyId } = await first.generateKey();
  const [shown = new Uint8Array(), hidden = new Uint8Array()] = await encryptFor(first, keyId, [
    { value: PUBLIC_VALUE, fheType: 5 },
    { value: USER_VALUE, fheType: 5 },
  ]);
  const words = { domain: { ...TEST_DOMAIN.message, name: DOMAIN_NAME }, extraData: EXTRA_DATA };
  const open = () => publicDecryption(keyId, [{ ciphertext: shown, fheType: 5 }], words);
  const own = (overrides = {}, ciphertext = hidden) =>
    userDecryption(keyId, [{ ciphertext, fheType: 5 }], user, { ...words, ...overrides });

  const answer = await first.client.call('PublicDecryptSync', open());
  t.equal(Buffer.from(answer.payload?.plaintexts[0]?.bytes ?? []).readBigUInt64LE(), PUBLIC_VALUE);
  t.equal(await statusOf(first.client.call('UserDecryptSync', own())), 0);
  t.equal(await statusOf(first.client.call('PublicDecrypt', open())), 0);
  t.equal(await statusOf(first.client.call('UserDecrypt', own())), 0);

  // Faults are where logs talk most.
  const bad = [
    own({ clientAddress: formatAddress(user.address).slice(0, -1) }),
    own({ encKey: user.encKey.subarray(1) }),
    own({}, hidden.subarray(1)),
    own({ keyId: { requestId: freshId() } }),
    own({ domain: { ...words.domain, verifyingContract: formatAddress(user.address) } }),
    own({ requestId: { requestId: toHex(user.encKey).slice(0, 62) } }),
  ];
  for (const request of bad) t.not(await statusOf(first.client.call('UserDecryptSync', request)), 0);

  const result = await first.client.call('GetKeyGenResult', { requestId: keyId });
  for (const page of ['metrics', 'config', 'version', 'health', 'ready', 'live']) {
    told.push(await (await fetch(`${first.node.opsUrl}/${page}`)).text());
  }
  await first.stop();
  const second = await startParty(t, { dir, logLevel: 'trace' });
  t.equal(await statusOf(second.client.call('PublicDecryptSync', open())), 0, 'works after a restart');
  await second.stop();
  told.push(second.readLog());

  const secrets: Secret[] = [
    ...filesBelow(join(dir, 'private'))
      .filter(({ name }) => !PUBLIC_IN_VAULT.test(name))
      .map(({ name, bytes }) => ({ name: `private object ${name}`, bytes })),
    ...['developer-root.key', 'governance-key.pem', 'release-key.pem'].map((name) => {
      const pem = readFileSync(join(dir, 'governance', name), 'utf8');
      return { name, bytes: createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' }) };
    }),
    { name: 'the user decryption key', bytes: user.seed },
    { name: 'enc_key', bytes: user.encKey },
    { name: 'client address', bytes: user.address },
    { name: 'extra_data', bytes: EXTRA_DATA },
    { name: 'ciphertext of the public decryption', bytes: shown },
    { name: 'ciphertext of the user decryption', bytes: hidden },
    ...[PUBLIC_VALUE, USER_VALUE].flatMap((value) => {
      const bigEndian = Buffer.alloc(8);
      bigEndian.writeBigUInt64BE(value);
      return [
        { name: 'plaintext', bytes: bigEndian },
        { name: 'plaintext', bytes: Uint8Array.from(bigEndian).reverse() },
      ];
    }),
  ];
  t.ok(secrets.filter(({ name }) => name.startsWith('private object')).length >= 2, 'the keys were found');
  const known = concatBytes(
    ...filesBelow(join(dir, 'public')).map(({ bytes }) => bytes),
    ...['charter.cbor', 'record.cbor', 'releases.cbor'].map((name) => readFileSync(join(dir, 'governance', name))),
    ...['ed25519', 'ec'].map(frameOfKey),
    toBinary(KeyGenResultSchema, create(KeyGenResultSchema, { ...result })),
    ...[keyId, result.preprocessingId?.requestId ?? ''].map((id) => Buffer.from(id, 'hex')),
    idBytes(DEFAULT_CONTEXT_ID),
    idBytes(DEFAULT_EPOCH_ID),
  );
  const text = told.join('\n');
  t.ok(text.length > 5000, `${text.length} characters were searched`);
  t.same(findLeaks(text, secrets, known), []);
  for (const word of [String(PUBLIC_VALUE), String(USER_VALUE), 'Marmalade']) {
    t.notOk(text.includes(word), `${word} is not told`);
  }
});
