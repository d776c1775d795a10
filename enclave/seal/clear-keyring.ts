/**
 * The keyring of developer mode: data keys lie in clear beside what they open. Protects nothing from who can read.
 *
 * It still binds each key to its object, so that mix-ups are found as they are with AWS KMS. Never in production.
 */
import { concatBytes, equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import { type RandomSource, systemRandom } from '../../common/random.ts';
import { bindingDigest, DATA_KEY_BYTES, type DataKeyring } from '../keychain/data-keys.ts';

const NAME = 'clear';
const DIGEST_BYTES = 32;

/** Returns the keyring; the wrapped key is the data key and the digest of what it is bound to. */
export function clearKeyring(random: RandomSource = systemRandom): DataKeyring {
  return {
    name: NAME,
    generate: async (binding) => {
      const dataKey = random(DATA_KEY_BYTES);
      return { dataKey, wrapped: { keyId: NAME, blob: concatBytes(dataKey, bindingDigest(binding)) } };
    },
    unwrap: async ({ keyId, blob }, binding) => {
      const bound = blob.subarray(DATA_KEY_BYTES);
      if (
        keyId !== NAME ||
        blob.length !== DATA_KEY_BYTES + DIGEST_BYTES ||
        !equalBytes(bound, bindingDigest(binding))
      ) {
        throw new KmsError('STATE_INVALID', 'the wrapped key was not made for this object, or was changed');
      }
      return Uint8Array.from(blob.subarray(0, DATA_KEY_BYTES));
    },
    close: () => undefined,
  };
}
