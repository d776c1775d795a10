/** What clients and operators do with a quorum in emulated AWS: they have the public bucket, the requests and the commands. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import { parseUserDecryption } from '../../wire/validate/decryption.ts';
import { verifyPublicDecryption } from '../../wire/verify-response.ts';
import { runArca } from './cli-script.ts';
import { newUser, publicDecryption, userDecryption } from './party-requests.ts';
import { present } from './present.ts';
import { reconstructWithPublishedClient } from './published-quorum-client.ts';
import { handleOf } from './requests.ts';
import { TEST_DOMAIN } from './start-party.ts';
import { pollFor, type QuorumMember, type TestQuorum } from './start-quorum.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** What is encrypted. */
export const VALUE = 0x0123_4567_89ab_cdefn;
const EUINT64 = 5;

/** A ciphertext of {@link VALUE}. */
export interface BucketCiphertext {
  readonly keyId: string;
  readonly ciphertext: Uint8Array;
  /** Asks for it to be opened to everybody; each time under an id of its own, for answers of before are kept. */
  newRequest(): ReturnType<typeof publicDecryption>;
}

/** Encrypts with the key set that party 1 has published, as anybody can. */
export async function encryptFromBucket(t: Teardown, quorum: TestQuorum, keyId: string): Promise<BucketCiphertext> {
  const keySet = await fetch(`${present(quorum.running.aws).s3Url}/kms/PUB-p1/CompressedXofKeySet/${keyId}`);
  const path = join(tempDir(t), 'keys');
  writeFileSync(path, new Uint8Array(await keySet.arrayBuffer()));
  using keys = await loadEvaluationKeys({ compressedXofKeySetPath: path });
  const ciphertext = await keys.encrypt(VALUE, EUINT64, 2);
  const newRequest = () => publicDecryption(keyId, [{ ciphertext, fheType: EUINT64, format: 2 }]);
  return { keyId, ciphertext, newRequest };
}

/** Opens a ciphertext publicly at each of some parties, and returns what each of them has signed. */
export async function decryptAt(
  members: readonly Pick<QuorumMember, 'client' | 'address'>[],
  { newRequest }: BucketCiphertext,
): Promise<readonly bigint[]> {
  const request = newRequest();
  const asked = { domain: TEST_DOMAIN.parsed, handles: [handleOf(1, EUINT64)], extraData: new Uint8Array() };
  return await Promise.all(
    members.map(async ({ client, address: signer }) => {
      const answer = await pollFor(() => client.call('PublicDecryptSync', request));
      return Buffer.from(present(verifyPublicDecryption(answer, { ...asked, signer })[0]).bytes).readBigUInt64LE();
    }),
  );
}

/** Opens it for a user, who puts all answers together with the published client; one value, if that accepts them. */
export async function decryptForUser(
  { members }: Pick<TestQuorum, 'members'>,
  { keyId, ciphertext }: BucketCiphertext,
): Promise<readonly bigint[]> {
  const user = newUser();
  const request = userDecryption(keyId, [{ ciphertext, fheType: EUINT64 }], user);
  const answers = await Promise.all(
    members.map(({ client }) => pollFor(() => client.call('UserDecryptSync', request))),
  );
  const addresses = members.map(({ address }) => address);
  const read = reconstructWithPublishedClient(parseUserDecryption(request), answers, user, addresses);
  return read.map(({ value }) => BigInt(value));
}

/** Returns what a command prints as JSON; `dir` is the folder of the party that it is about. */
export async function operate(dir: string, ...args: readonly string[]): Promise<ReturnType<typeof JSON.parse>> {
  return await printed([...args, '--json', '--dir', dir]);
}

/** Returns what a command that is about no node prints as JSON. */
export async function printed(args: readonly string[]): Promise<ReturnType<typeof JSON.parse>> {
  const { code, stdout, stderr } = await runArca(args);
  if (code !== 0) throw new Error(`arca ${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout);
}
