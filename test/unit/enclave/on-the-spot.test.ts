/** Few ciphertexts are opened on the event loop, many on the thread pool; the answers are the same. */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { openedOnTheSpot } from '../../../enclave/fhe/on-the-spot.ts';
import {
  CiphertextFormat,
  PublicDecryptionRequestSchema,
  PublicDecryptionResponseSchema,
  UserDecryptionRequestSchema,
  UserDecryptionResponseSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { generateUserKeyPair } from '../../../wire/signcryption.ts';
import { handleOf, publicDecryptionRequest, userDecryptionRequest } from '../../helpers/requests.ts';
import { makeKey, testEngine } from '../../helpers/test-engine.ts';

const sized = (...sizes: number[]) => sizes.map((size) => ({ ciphertext: new Uint8Array(size) }));
const count = (n: number) => sized(...Array.from({ length: n }, () => 100));

t.test('an ordinary request is opened on the spot, a large one is not', async (t) => {
  t.equal(openedOnTheSpot(sized(99_000)), true);
  t.equal(openedOnTheSpot(sized(512 * 1024)), true);
  t.equal(openedOnTheSpot(sized(512 * 1024 + 1)), false);
  t.equal(openedOnTheSpot(sized(300_000, 300_000)), false);
  t.equal(openedOnTheSpot(count(8)), true);
  t.equal(openedOnTheSpot(count(9)), false);
});

t.test('requests of either kind have their answers, in order', async (t) => {
  const { link: openLink } = await testEngine(t);
  const link = await openLink();
  const { evaluation } = await makeKey(t, link);
  const values = Array.from({ length: 9 }, (_, i) => BigInt(i + 1));
  const ciphertexts = await Promise.all(values.map((value) => evaluation.encrypt(value, 2, 2)));
  for (const n of [8, 9]) {
    const items = ciphertexts.slice(0, n).map((ciphertext, i) => ({
      ciphertext,
      fheType: 2,
      ciphertextFormat: CiphertextFormat.BigCompressed,
      externalHandle: handleOf(i, 2),
    }));
    const forAll = publicDecryptionRequest({ ciphertexts: items });
    const answer = await link.call(ENGINE_METHOD.publicDecrypt, toBinary(PublicDecryptionRequestSchema, forAll));
    const { payload } = fromBinary(PublicDecryptionResponseSchema, answer);
    t.strictSame(
      payload?.plaintexts.map(({ bytes }) => BigInt(bytes[0] ?? 0)),
      values.slice(0, n),
      `public, ${n}`,
    );

    const { encKey } = generateUserKeyPair();
    const forUser = userDecryptionRequest({ typedCiphertexts: items, encKey });
    const sealed = await link.call(ENGINE_METHOD.userDecrypt, toBinary(UserDecryptionRequestSchema, forUser));
    const { payload: forOne } = fromBinary(UserDecryptionResponseSchema, sealed);
    t.strictSame(
      forOne?.signcryptedCiphertexts.map(({ externalHandle }) => externalHandle[31]),
      items.map((_, i) => i),
      `user, ${n}`,
    );
  }
});
