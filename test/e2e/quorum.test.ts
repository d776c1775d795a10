/**
 * A whole quorum of four parties, eight processes: one key at all of them, both decryptions, published client, restarts.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { STATUS } from '../../parent/grpc/status.ts';
import { FheParameter, type UserDecryptionResponse } from '../../proto/gen/kms_pb.js';
import { FHE_TYPES } from '../../wire/fhe-types.ts';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import { verifyPublicDecryption } from '../../wire/verify-response.ts';
import { freshId, newUser, outcomeOf, publicDecryption, statusOf, userDecryption } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { reconstructWithPublishedClient } from '../helpers/published-quorum-client.ts';
import { handleOf } from '../helpers/requests.ts';
import { TEST_DOMAIN } from '../helpers/start-party.ts';
import { encryptForQuorum, pollFor, type QuorumMember, startQuorum } from '../helpers/start-quorum.ts';

const VALUE = 0x0123_4567_89ab_cdefn;
const quorum = await startQuorum(t, { parties: 4 });
const { members } = quorum;
const results = await quorum.generateKey();
const keyId = present(results[0]?.requestId?.requestId);
const [ciphertext = new Uint8Array()] = await encryptForQuorum(quorum, keyId, [{ value: VALUE, fheType: 5 }]);
type DecryptionItems = Parameters<typeof publicDecryption>[1];
const ITEM = [{ ciphertext, fheType: 5 }];

/** Asks parties for one public decryption and returns the value that each has signed. */
async function openAt(asked: readonly QuorumMember[], items: DecryptionItems = ITEM): Promise<bigint[]> {
  const request = publicDecryption(keyId, items);
  return await Promise.all(
    asked.map(async ({ client, address: signer }) => {
      const answer = await client.call('PublicDecryptSync', request);
      const expected = { domain: TEST_DOMAIN.parsed, handles: [handleOf(1, 5)], extraData: new Uint8Array(), signer };
      const [plaintext] = verifyPublicDecryption(answer, expected);
      return Buffer.from(present(plaintext).bytes).readBigUInt64LE();
    }),
  );
}

t.test('all parties have the same public key set, each with its own signature', (t) => {
  const [first] = members;
  for (const [index, { keyDigests, externalSignature }] of results.entries()) {
    t.same(keyDigests, results[0]?.keyDigests);
    if (index > 0) t.notSame(externalSignature, results[0]?.externalSignature);
    for (const { keyType } of keyDigests) {
      const hash = (member: QuorumMember | undefined) =>
        createHash('sha256')
          .update(readFileSync(present(member).publicFile(keyType, keyId)))
          .digest('hex');
      t.equal(hash(members[index]), hash(first), `${keyType} of party ${index + 1}`);
    }
  }
  t.end();
});

t.test('public decryption: every party signs the same value', async (t) => {
  t.same(await openAt(members), Array(4).fill(VALUE));
  t.same(await openAt(members.slice(1)), Array(3).fill(VALUE), 'asked at 2t + 1 alone');
});

t.test('processes decompress and squash every format to the same bytes: masks are functions of them', async (t) => {
  for (const format of [0, 1, 2, 3]) {
    const values = [VALUE, VALUE + 1n];
    const formatted = await encryptForQuorum(
      quorum,
      keyId,
      values.map((value) => ({ value, fheType: 5, format })),
    );
    // At 2t + 1 parties nothing opens unless all their shares agree.
    for (const [index, asked] of [members.slice(0, 3), members.slice(1)].entries()) {
      const items = [{ ciphertext: present(formatted[index]), fheType: 5, format }];
      t.same(await openAt(asked, items), Array(3).fill(values[index]), `format ${format}`);
    }
  }
});

t.test('the published client reconstructs user decryptions of every type, with one answer missing', async (t) => {
  const types = FHE_TYPES.filter(({ abiEncodable }) => abiEncodable);
  const valueFor = (number: number): bigint => (number === 0 ? 1n : 0x5bn);
  const ciphertexts = await encryptForQuorum(
    quorum,
    keyId,
    types.map(({ number }) => ({ value: valueFor(number), fheType: number })),
  );
  const user = newUser();
  const items = ciphertexts.map((bytes, i) => ({ ciphertext: bytes, fheType: present(types[i]).number }));
  const request = userDecryption(keyId, items, user);
  const answers: UserDecryptionResponse[] = await Promise.all(
    members.map(({ client }) => client.call('UserDecryptSync', request)),
  );
  const parsed = parseUserDecryption(request);
  const addresses = members.map(({ address }) => address);
  const wanted = types.map(({ number }) => ({ value: valueFor(number), fheType: number }));
  for (const missing of [undefined, 0, 3]) {
    const given = answers.filter((_, index) => index !== missing);
    t.same(reconstructWithPublishedClient(parsed, given, user, addresses), wanted);
  }
  t.throws(() => reconstructWithPublishedClient(parsed, answers.slice(0, 2), user, addresses), '2t answers');
});

t.test('2t parties that ask alone get nothing; with one more all of them do', async (t) => {
  const request = publicDecryption(keyId, ITEM);
  const user = newUser();
  const userRequest = userDecryption(keyId, ITEM, user);
  const alone = members.slice(0, 2);
  const early = await Promise.all(
    alone.flatMap(({ client }) => [
      statusOf(client.call('PublicDecryptSync', request, { timeoutMs: 2000 })),
      statusOf(client.call('UserDecryptSync', userRequest, { timeoutMs: 2000 })),
    ]),
  );
  t.same(early, Array(4).fill(STATUS.DEADLINE_EXCEEDED));
  const three = members.slice(0, 3);
  const late = await Promise.all(
    three.flatMap(({ client }) => [
      statusOf(client.call('PublicDecryptSync', request)),
      statusOf(client.call('UserDecryptSync', userRequest)),
    ]),
  );
  t.same(late, Array(6).fill(STATUS.OK));
});

t.test('acknowledged requests are answered, at whatever time each party heard of them', async (t) => {
  const request = publicDecryption(keyId, ITEM);
  const requestId = { requestId: present(request.requestId?.requestId) };
  for (const { client } of members) await client.call('PublicDecrypt', request);
  for (const { client } of members) {
    const { payload } = await pollFor(() => client.call('GetPublicDecryptionResult', requestId));
    t.equal(Buffer.from(present(payload?.plaintexts[0]).bytes).readBigUInt64LE(), VALUE);
  }
});

t.test('another ciphertext under one id is told, and costs nobody else', async (t) => {
  const [other = new Uint8Array()] = await encryptForQuorum(quorum, keyId, [{ value: 7n, fheType: 5 }]);
  const id = freshId();
  const honest = publicDecryption(keyId, ITEM, { requestId: { requestId: id } });
  const crooked = publicDecryption(keyId, [{ ciphertext: other, fheType: 5 }], { requestId: { requestId: id } });
  const fourth = statusOf(quorum.member(4).client.call('PublicDecryptSync', crooked, { timeoutMs: 3000 }));
  const values = await Promise.all(members.slice(0, 3).map(({ client }) => client.call('PublicDecryptSync', honest)));
  for (const { payload } of values)
    t.equal(Buffer.from(present(payload?.plaintexts[0]).bytes).readBigUInt64LE(), VALUE);
  t.not(await fourth, STATUS.OK);
  await quorum.member(1).logged(/another ciphertext/);
  t.same(await openAt(members), Array(4).fill(VALUE));
});

t.test('a bad ciphertext fails its own request', async (t) => {
  const broken = Uint8Array.from(ciphertext);
  broken.fill(0xff, 200, 260);
  const request = publicDecryption(keyId, [{ ciphertext: broken, fheType: 5 }]);
  const bad = members.map(({ client }) => outcomeOf(client.call('PublicDecryptSync', request)));
  t.same(await openAt(members), Array(4).fill(VALUE));
  for (const { status, reason } of await Promise.all(bad)) {
    t.equal(status, STATUS.INTERNAL);
    t.match(reason, /inconsistent epoch/);
  }
});

t.test('distributed generation is refused by name', async (t) => {
  const { client } = quorum.member(1);
  const common = { params: FheParameter.test, domain: TEST_DOMAIN.message };
  const preproc = await outcomeOf(client.call('KeyGenPreproc', { requestId: { requestId: freshId() }, ...common }));
  t.match(preproc, { status: STATUS.UNIMPLEMENTED, reason: /insecure/ });
  const crs = await outcomeOf(
    client.call('CrsGen', { requestId: { requestId: freshId() }, ...common, maxNumBits: 64 }),
  );
  t.match(crs, { status: STATUS.UNIMPLEMENTED });
});

t.test('a dealt CRS is the same at all parties', async (t) => {
  const requestId = { requestId: freshId() };
  const request = { requestId, params: FheParameter.test, maxNumBits: 64, domain: TEST_DOMAIN.message };
  for (const { client } of members) await client.call('InsecureCrsGen', request);
  const made = await Promise.all(
    members.map(({ client }) => pollFor(() => client.call('GetInsecureCrsGenResult', requestId))),
  );
  for (const { crsDigest } of made) t.same(crsDigest, made[0]?.crsDigest);
});

t.test('all of it is there after a restart', async (t) => {
  await quorum.stop();
  const again = await startQuorum(t, { parties: 4, dir: quorum.dir });
  t.same(
    again.members.map(({ node }) => node.address),
    members.map(({ node }) => node.address),
  );
  const request = publicDecryption(keyId, ITEM);
  for (const { payload } of await Promise.all(
    again.members.map(({ client }) => client.call('PublicDecryptSync', request)),
  )) {
    t.equal(Buffer.from(present(payload?.plaintexts[0]).bytes).readBigUInt64LE(), VALUE);
  }
});
