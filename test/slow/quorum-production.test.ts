/**
 * Production parameters through a whole quorum of four: a dealt key set whose public material is the same at all parties,
 * every ciphertext format, publicly and for a user, before and after a restart. The key is made once per machine (3 minutes
 * of both cores, 2 GB under the user's cache); about 2 minutes with it.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import { verifyPublicDecryption } from '../../wire/verify-response.ts';
import { cacheFolder } from '../helpers/load-generator.ts';
import { newUser, publicDecryption, userDecryption } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { reconstructWithPublishedClient } from '../helpers/published-quorum-client.ts';
import { handleOf } from '../helpers/requests.ts';
import { TEST_DOMAIN } from '../helpers/start-party.ts';
import { encryptForQuorum, pollFor, startQuorum, type TestQuorum } from '../helpers/start-quorum.ts';

t.setTimeout(1_800_000);

/** Raised when what is kept in the cache changes, so that an older folder is made anew. */
const CACHE_VERSION = 1;
const FOLDER = join(cacheFolder(), 'slow', `quorum-${CACHE_VERSION}-default`);
/** Squashing takes a second or so for each block and party: small formats carry a number of few blocks. */
const CASES = [
  { name: 'SmallCompressed', format: 0, fheType: 2, value: 0xa5n },
  { name: 'SmallExpanded', format: 1, fheType: 2, value: 0x5an },
  { name: 'BigCompressed', format: 2, fheType: 5, value: 0xfedc_ba98_7654_3210n },
  { name: 'BigExpanded', format: 3, fheType: 5, value: 0x0123_4567_89ab_cdefn },
] as const;
const PATIENCE_MS = 600_000;

/** Makes quorum and key, once per machine. */
async function makeOnce(): Promise<void> {
  if (existsSync(FOLDER)) return;
  const unfinished = `${FOLDER}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  await mkdir(unfinished, { recursive: true });
  const quorum = await startQuorum(t, { parties: 4, params: 'default', dir: join(unfinished, 'state') });
  const results = await quorum.generateKey('default');
  for (const { keyDigests } of results) t.same(keyDigests, results[0]?.keyDigests, 'the same public key set');
  await quorum.stop();
  await writeFile(join(unfinished, 'key-id'), present(results[0]?.requestId?.requestId));
  await rename(unfinished, FOLDER);
}

type Case = (typeof CASES)[number] & { readonly ciphertext: Uint8Array };

async function openPublicly({ members }: TestQuorum, keyId: string, one: Case): Promise<bigint[]> {
  const { ciphertext, fheType, format } = one;
  const request = publicDecryption(keyId, [{ ciphertext, fheType, format }]);
  const requestId = present(request.requestId);
  return await Promise.all(
    members.map(async ({ client, address: signer }) => {
      await client.call('PublicDecrypt', request);
      const answer = await pollFor(() => client.call('GetPublicDecryptionResult', requestId), PATIENCE_MS);
      const handles = [handleOf(1, fheType)];
      const expected = { domain: TEST_DOMAIN.parsed, handles, extraData: new Uint8Array(), signer };
      return little(present(verifyPublicDecryption(answer, expected)[0]).bytes);
    }),
  );
}

async function openForUser({ members }: TestQuorum, keyId: string, one: Case, missing?: number) {
  const { ciphertext, fheType, format } = one;
  const user = newUser();
  const request = userDecryption(keyId, [{ ciphertext, fheType, format }], user);
  const requestId = present(request.requestId);
  const answers = await Promise.all(
    members.map(async ({ client }) => {
      await client.call('UserDecrypt', request);
      return await pollFor(() => client.call('GetUserDecryptionResult', requestId), PATIENCE_MS);
    }),
  );
  const given = answers.filter((_, index) => index + 1 !== missing);
  const addresses = members.map(({ address }) => address);
  return reconstructWithPublishedClient(parseUserDecryption(request), given, user, addresses);
}

function little(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

async function decryptAll(t: Test, quorum: TestQuorum, keyId: string, cases: readonly Case[]): Promise<void> {
  for (const one of cases) {
    t.same(await openPublicly(quorum, keyId, one), Array(4).fill(one.value), `${one.name}, publicly`);
    const wanted = [{ value: one.value, fheType: one.fheType }];
    t.same(await openForUser(quorum, keyId, one, 2), wanted, `${one.name}, for a user, without party 2`);
  }
}

t.test('production parameters: every format, publicly and for a user, before and after a restart', async (t) => {
  await makeOnce();
  const keyId = await readFile(join(FOLDER, 'key-id'), 'utf8');
  const dir = join(FOLDER, 'state');
  const first = await startQuorum(t, { parties: 4, params: 'default', dir });
  const ciphertexts = await encryptForQuorum(first, keyId, CASES);
  const cases = CASES.map((one, index) => ({ ...one, ciphertext: present(ciphertexts[index]) }));
  await decryptAll(t, first, keyId, cases);
  await first.stop();
  const again = await startQuorum(t, { parties: 4, params: 'default', dir });
  await decryptAll(t, again, keyId, cases.slice(2));
  await again.stop();
});
