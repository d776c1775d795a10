/**
 * `arca dev --parties 4 --aws`: a quorum whose vaults lie sealed in emulated S3 under keys of an emulated AWS KMS. It does what a
 * quorum does, comes back without any local state of a party, and leaves nothing in clear.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import { runChecks } from '../../parent/cli/actions/doctor.ts';
import { CHECKS, newFindings } from '../../parent/cli/doctor/checks.ts';
import type { UserDecryptionResponse } from '../../proto/gen/kms_pb.js';
import { formatAddress } from '../../wire/addresses.ts';
import { SIGNING_KEY_ID } from '../../wire/ids.ts';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import { verifyPublicDecryption } from '../../wire/verify-response.ts';
import { newUser, publicDecryption, userDecryption } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { reconstructWithPublishedClient } from '../helpers/published-quorum-client.ts';
import { handleOf } from '../helpers/requests.ts';
import { filesBelow, findInFiles, openSealedState } from '../helpers/sealed-state.ts';
import { TEST_DOMAIN } from '../helpers/start-party.ts';
import { startQuorum, type TestQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const VALUE = 0x0123_4567_89ab_cdefn;
const EUINT64 = 5;
/** BigCompressed, and SmallExpanded, which engines have to squash with the public key set first. */
const FORMATS = [2, 1] as const;

const dir = tempDir(t);
let quorum = await startQuorum(t, { parties: 4, aws: true, dir });
const { s3Url } = present(quorum.running.aws);
const results = await quorum.generateKey();
const keyId = present(results[0]?.requestId?.requestId);
const keySet = await fetch(`${s3Url}/kms/PUB-p1/CompressedXofKeySet/${keyId}`);
const ciphertexts = await encrypt(new Uint8Array(await keySet.arrayBuffer()));
const addresses = quorum.members.map(({ address }) => address);

/** Encrypts as clients do, who have the public bucket and nothing else. */
async function encrypt(bytes: Uint8Array): Promise<readonly Uint8Array[]> {
  const path = join(tempDir(t), 'keys');
  writeFileSync(path, bytes);
  using keys = await loadEvaluationKeys({ compressedXofKeySetPath: path });
  const made: Uint8Array[] = [];
  for (const format of FORMATS) made.push(await keys.encrypt(VALUE, EUINT64, format));
  return made;
}

/** Opens each ciphertext publicly at every party, and for a user with the published client. */
async function decryptAll({ members }: TestQuorum): Promise<readonly bigint[]> {
  const values: bigint[] = [];
  for (const [at, ciphertext] of ciphertexts.entries()) {
    const item = { ciphertext, fheType: EUINT64, format: FORMATS[at] ?? 2 };
    const request = publicDecryption(keyId, [item]);
    const opened = await Promise.all(
      members.map(async ({ client, address: signer }) => {
        const answer = await client.call('PublicDecryptSync', request);
        const handles = [handleOf(1, EUINT64)];
        const [plaintext] = verifyPublicDecryption(answer, {
          domain: TEST_DOMAIN.parsed,
          handles,
          extraData: new Uint8Array(),
          signer,
        });
        return Buffer.from(present(plaintext).bytes).readBigUInt64LE();
      }),
    );
    values.push(...opened);
  }
  const [big = new Uint8Array()] = ciphertexts;
  const user = newUser();
  const request = userDecryption(keyId, [{ ciphertext: big, fheType: EUINT64 }], user);
  const answers: UserDecryptionResponse[] = await Promise.all(
    members.map(({ client }) => client.call('UserDecryptSync', request)),
  );
  const read = reconstructWithPublishedClient(parseUserDecryption(request), answers, user, addresses);
  return [...values, ...read.map(({ value }) => BigInt(value))];
}

const EXPECTED = Array(9).fill(VALUE);

t.test('public objects are for everybody in the bucket, sealed ones for nobody', async (t) => {
  t.equal(keySet.status, 200);
  for (const { party, address } of quorum.members) {
    const published = await fetch(`${s3Url}/kms/PUB-p${party}/VerfAddress/${SIGNING_KEY_ID}`);
    t.equal(await published.text(), formatAddress(address), `party ${party}`);
    t.equal((await fetch(`${s3Url}/kms-private/PRIV-p${party}/Manifest/head`)).status, 403);
    t.equal((await fetch(`${s3Url}/kms-backup/BACKUP-p${party}/Manifest/head`)).status, 403);
  }
});

t.test('the quorum decrypts what clients encrypted, formats that need the public key set too', async (t) => {
  t.same(await decryptAll(quorum), EXPECTED);
});

t.test('the doctor finds all that each party has in AWS as it should be', async (t) => {
  for (const { party } of quorum.members) {
    const lines: string[] = [];
    await runChecks(CHECKS, newFindings(join(dir, `party-${party}`)), (line) => lines.push(line));
    const found = lines.join('\n');
    t.match(found, /✓ readers of the public bucket: anyone can read it/);
    t.match(found, new RegExp(`✓ private root key: .*: engines of party ${party} alone can use it`));
    t.match(found, new RegExp(`✓ backup root key: .*: engines of party ${party} alone can use it`));
  }
});

t.test('a party that is killed and started again serves as before', async (t) => {
  await quorum.running.stopParty(2, true);
  await quorum.running.startParty(2);
  t.same(await decryptAll(quorum), EXPECTED);
});

t.test('a party whose local state is gone comes back from S3 and AWS KMS', async (t) => {
  await quorum.stop();
  rmSync(join(dir, 'party-1'), { recursive: true });
  t.notOk(existsSync(join(dir, 'party-1')));
  quorum = await startQuorum(t, { parties: 4, aws: true, dir });
  t.same(
    quorum.members.map(({ address }) => address),
    addresses,
    'the same parties',
  );
  t.same(await decryptAll(quorum), EXPECTED);
});

t.test('nothing of what was sealed stands anywhere in clear', async (t) => {
  await quorum.stop();
  const files = filesBelow(dir);
  const planted = join(tempDir(t), 'planted');
  for (const party of [1, 2, 3, 4]) {
    const secrets = await openSealedState(dir, party, join(dir, `party-${party}/governance/charter.cbor`));
    for (const type of ['SigningKey', 'EpochData', 'FheKeyInfo']) {
      t.ok(
        secrets.some(({ name }) => name.includes(type)),
        `party ${party} has ${type}`,
      );
    }
    t.same(findInFiles(files, secrets), [], `party ${party}`);
    const [first] = secrets;
    writeFileSync(planted, Buffer.concat([Buffer.alloc(1000), present(first).content]));
    t.equal(findInFiles([planted], secrets).length, 1, 'and it would have been found');
  }
});

t.test('a folder of one kind is not started as another', async (t) => {
  await t.rejects(startQuorum(t, { parties: 4, dir }), { code: 'STATE_INVALID', message: /vaults in emulated AWS/ });
  const clear = tempDir(t);
  const other = await startQuorum(t, { parties: 4, dir: clear });
  await other.stop();
  await t.rejects(startQuorum(t, { parties: 4, dir: clear, aws: true }), {
    code: 'STATE_INVALID',
    message: /vaults in files/,
  });
});
