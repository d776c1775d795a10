/**
 * A whole party, engine and core as processes: keys, both decryptions, public material, restarts and deaths.
 */
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { equalBytes } from '../../common/bytes.ts';
import { STATUS } from '../../parent/grpc/status.ts';
import { HealthCheckResponse_ServingStatus as Serving } from '../../proto/gen/health_pb.js';
import { FheParameter, PublicDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import { publicValue, publishedSigner, userValue } from '../helpers/party-answers.ts';
import { freshId, newUser, publicDecryption, statusOf, userDecryption } from '../helpers/party-requests.ts';
import { encryptFor, type Party, startParty, TEST_DOMAIN } from '../helpers/start-party.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const VALUE = 0x0123_4567_89ab_cdefn;
const dir = tempDir(t);
const user = newUser();
let party = await startParty(t, { dir });
const key = await party.generateKey();
const signer = await publishedSigner(party.node.publicUrl);
const [ciphertext = new Uint8Array()] = await encryptFor(party, key.keyId, [{ value: VALUE, fheType: 5 }]);
const ITEM = [{ ciphertext, fheType: 5 }];

/** Asks until there is a result; clients poll like this. */
async function poll<T>(ask: () => Promise<T>, limitMs = 300_000): Promise<T> {
  const until = performance.now() + limitMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const status = await statusOf(Promise.reject(error));
      if (status !== STATUS.UNAVAILABLE || performance.now() > until) throw error;
      await delay(20);
    }
  }
}

const isServing = async (of: Party): Promise<boolean> =>
  (await of.client.health().catch(() => Serving.NOT_SERVING)) === Serving.SERVING;

async function untilServing(of: Party, wanted: boolean): Promise<void> {
  const until = performance.now() + 120_000;
  while ((await isServing(of)) !== wanted) {
    if (performance.now() > until) throw new Error(`never ${wanted ? 'served again' : 'stopped serving'}`);
    await delay(10);
  }
}

t.test('decrypts publicly, in one call and in two', async (t) => {
  const now = await party.client.call('PublicDecryptSync', publicDecryption(key.keyId, ITEM));
  t.equal(publicValue(now, signer), VALUE);
  const request = publicDecryption(key.keyId, ITEM);
  const requestId = request.requestId?.requestId ?? '';
  await party.client.call('PublicDecrypt', request);
  const later = await poll(() => party.client.call('GetPublicDecryptionResult', { requestId }));
  t.equal(publicValue(later, signer), VALUE);
  t.equal(await statusOf(party.client.call('PublicDecrypt', request)), STATUS.ALREADY_EXISTS);
});

t.test('decrypts for a user, in one call and in two', async (t) => {
  const now = await party.client.call('UserDecryptSync', userDecryption(key.keyId, ITEM, user));
  t.equal(userValue(now, signer, user), VALUE);
  const request = userDecryption(key.keyId, ITEM, user);
  await party.client.call('UserDecrypt', request);
  const requestId = request.requestId?.requestId ?? '';
  const later = await poll(() => party.client.call('GetUserDecryptionResult', { requestId }));
  t.equal(userValue(later, signer, user), VALUE);
});

t.test('serves the objects that it signed', async (t) => {
  t.strictSame(
    key.objects.map(({ type }) => type),
    ['PublicKey', 'CompressedXofKeySet'],
  );
  for (const { type, id, digest } of key.objects) {
    const response = await fetch(`${party.node.publicUrl}/${type}/${id}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const hash = createHash('shake256', { outputLength: 32 }).update('PDAT_KEY').update(bytes).digest();
    t.ok(equalBytes(hash, digest), type);
    t.equal(response.headers.get('etag'), `"${hash.toString('hex')}"`, type);
  }
});

t.test('makes a CRS', async (t) => {
  const requestId = freshId();
  const request = { requestId: { requestId }, params: FheParameter.test, maxNumBits: 64, domain: TEST_DOMAIN.message };
  await party.client.call('CrsGen', request);
  const result = await poll(() => party.client.call('GetCrsGenResult', { requestId }));
  const response = await fetch(`${party.node.publicUrl}/CRS/${requestId}`);
  t.equal(response.headers.get('etag'), `"${Buffer.from(result.crsDigest).toString('hex')}"`);
});

t.test('tells how it is', async (t) => {
  const page = async (path: string) => await (await fetch(party.node.opsUrl + path)).text();
  t.equal(await page('/ready'), 'ready');
  t.match(await page('/metrics'), /kms_operations_total\{operation="public_decrypt_request"\} [1-9]/);
  t.match(await page('/metrics'), /kms_fhe_key_cache_size 1/);
  t.match(JSON.parse(await page('/config')), { service: { listen_address: '127.0.0.1' } });
});

t.test('an engine that is killed under load costs nobody who was promised an answer', async (t) => {
  const promised: string[] = [];
  const statuses = new Set<number>();
  let killed = false;
  const load = async () => {
    for (let round = 0; round < 40; round++) {
      const request = publicDecryption(key.keyId, ITEM);
      if ((await statusOf(party.client.call('PublicDecrypt', request))) === 0) {
        promised.push(request.requestId?.requestId ?? '');
      }
      statuses.add(await statusOf(party.client.call('PublicDecryptSync', publicDecryption(key.keyId, ITEM))));
      if (round === 10 && !killed) {
        killed = true;
        process.kill(party.pids().engine ?? 0, 'SIGKILL');
      }
    }
  };
  const health = untilServing(party, false);
  await Promise.all([load(), load(), load(), load()]);
  await health;
  await untilServing(party, true);
  t.strictSame([...statuses].sort(), [STATUS.OK, STATUS.UNAVAILABLE], 'an answer, or word to try again');
  t.ok(promised.length > 10, 'requests were accepted');
  for (const requestId of promised) {
    const response = await poll(() => party.client.call('GetPublicDecryptionResult', { requestId }));
    t.equal(publicValue(response, signer), VALUE, requestId);
  }
});

t.test('a core that is killed keeps what it promised', async (t) => {
  const requests = Array.from({ length: 30 }, () => publicDecryption(key.keyId, ITEM));
  await Promise.all(requests.map((request) => party.client.call('PublicDecrypt', request)));
  process.kill(party.pids().core ?? 0, 'SIGKILL');
  await untilServing(party, false);
  await untilServing(party, true);
  for (const { requestId } of requests) {
    const response = await poll(() => party.client.call('GetPublicDecryptionResult', requestId ?? {}));
    t.equal(publicValue(response, signer), VALUE);
  }
});

t.test('a key generation that is cut off is done or gone, never half', async (t) => {
  const preprocId = freshId();
  const requestId = freshId();
  const common = { params: FheParameter.test, domain: TEST_DOMAIN.message };
  await party.client.call('KeyGenPreproc', { requestId: { requestId: preprocId }, ...common });
  await poll(() => party.client.call('GetKeyGenPreprocResult', { requestId: preprocId }));
  await party.client.call('KeyGen', { requestId: { requestId }, preprocId: { requestId: preprocId }, ...common });
  process.kill(party.pids().engine ?? 0, 'SIGKILL');
  const status = await statusOf(poll(() => party.client.call('GetKeyGenResult', { requestId })));
  const stored = [];
  for (const type of ['PublicKey', 'CompressedXofKeySet']) {
    if ((await readdir(join(dir, 'public/PUB', type))).includes(requestId)) stored.push(type);
  }
  if (status === 0) t.strictSame(stored, ['PublicKey', 'CompressedXofKeySet'], 'done');
  else {
    t.equal(status, STATUS.INTERNAL, 'failed with a reason');
    t.strictSame(stored, [], 'and its space is free');
  }
  await untilServing(party, true);
});

t.test('a restart keeps keys, results and the node itself', async (t) => {
  const request = publicDecryption(key.keyId, ITEM);
  const first = await party.client.call('PublicDecryptSync', request);
  const before = await party.client.call('GetKeyGenResult', { requestId: key.keyId });
  await party.stop();
  party = await startParty(t, { dir });
  t.ok(equalBytes(await publishedSigner(party.node.publicUrl), signer), 'same address');
  t.strictSame(await party.client.call('GetKeyGenResult', { requestId: key.keyId }), before, 'same key');
  const again = await party.client.call('GetPublicDecryptionResult', request.requestId ?? {});
  const encode = (response: typeof first) => toBinary(PublicDecryptionResponseSchema, response);
  t.ok(equalBytes(encode(again), encode(first)), 'same answer');
  const fresh = await party.client.call('PublicDecryptSync', publicDecryption(key.keyId, ITEM));
  t.equal(publicValue(fresh, signer), VALUE, 'still decrypts');
});
