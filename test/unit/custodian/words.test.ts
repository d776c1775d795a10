/**
 * Seed phrases: as BIP39 has them, and helpful about typing errors.
 */
import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import fc from 'fast-check';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { KmsError } from '../../../common/errors.ts';
import { deriveCustodianKeys } from '../../../custodian/custodian-keys.ts';
import { decodePhrase, encodePhrase, generateEntropy } from '../../../custodian/words.ts';
import { present } from '../../helpers/present.ts';

const entropies = fc.constantFrom(16, 20, 24, 28, 32).chain((n) => fc.uint8Array({ minLength: n, maxLength: n }));
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const GOOD = 'legal winner thank year wave sausage worth useful legal winner thank yellow';

/** What a phrase is refused with. */
function refusal(text: string): string {
  try {
    decodePhrase(bytes(text));
  } catch (error) {
    if (error instanceof KmsError && error.code === 'KEY_INVALID') return error.message;
    throw error;
  }
  return 'taken';
}

t.test('words and entropy agree with another implementation of BIP39, both ways', async (t) => {
  fc.assert(
    fc.property(entropies, (entropy) => {
      const theirs = entropyToMnemonic(entropy, wordlist);
      const ours = Buffer.from(encodePhrase(entropy)).toString();
      return ours === theirs && toHex(decodePhrase(bytes(ours))) === toHex(mnemonicToEntropy(theirs, wordlist));
    }),
  );
  t.equal(toHex(decodePhrase(bytes(GOOD))), '7f'.repeat(16));
});

t.test('white space and case do not matter', async (t) => {
  t.same(decodePhrase(bytes(`  ${GOOD.toUpperCase().replaceAll(' ', '\t\n  ')}\r\n`)), decodePhrase(bytes(GOOD)));
});

t.test('a typing error is named with its place and what is near it', async (t) => {
  const refused = refusal(GOOD.replace('winner', 'winer').replace('sausage', 'sausgae'));
  t.match(refused, /word 2, 'winer', is not in the list of words; near it: wine, winner, winter/);
  t.match(refused, /word 6, 'sausgae', is not in the list of words; near it: sausage/, 'all of them at once');
  t.match(refusal(GOOD.replace('winner', 'qqqqqqqqqqqqqqqqqqqqqq')), /word 2, .* nothing in the list is near it/);
  t.notMatch(refused, /thank|year|wave|worth|useful|yellow/, 'words that are right are not repeated');
});

t.test('words that do not fit together are refused with the words that may be meant', async (t) => {
  // Typed for 'worth', 'north' is a word of the list too: the checksum finds it.
  const refused = refusal(GOOD.replace('worth', 'north'));
  t.match(refused, /do not fit together/);
  t.match(refused, /word 7 may be 'worth'/);
});

t.test('too few, too many, other characters and nothing at all are refused', async (t) => {
  t.match(refusal(GOOD.split(' ').slice(1).join(' ')), /these are 11/);
  t.match(refusal(`${GOOD} legal`), /these are 13/);
  t.match(refusal(''), /these are 0/);
  t.match(refusal('légal winner'), /letters a to z/);
  t.match(refusal('a'.repeat(513)), /at most 24/);
});

t.test('no bytes make the reader throw anything but its refusal', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (phrase) => {
      try {
        decodePhrase(phrase);
        return true;
      } catch (error) {
        return error instanceof KmsError && error.code === 'KEY_INVALID';
      }
    }),
    { numRuns: 300 },
  );
  t.pass();
});

t.test('keys are a function of the first sixteen bytes, and differ from each other', async (t) => {
  const entropy = generateEntropy((sizeBytes) => new Uint8Array(sizeBytes).fill(3));
  using first = deriveCustodianKeys(entropy);
  using again = deriveCustodianKeys(Uint8Array.of(...entropy, 1, 2, 3, 4));
  using other = deriveCustodianKeys(entropy.with(15, 4));
  t.same([again.ek, again.signer.publicKey], [first.ek, first.signer.publicKey]);
  t.notSame(other.ek, first.ek);
  t.notSame(other.signer.publicKey, first.signer.publicKey);
  t.throws(() => deriveCustodianKeys(entropy.subarray(1)), { code: 'KEY_INVALID' });
});

t.test('every word of the list is read back', async (t) => {
  const wrong = wordlist.filter((_, index) => {
    const entropy = new Uint8Array(16);
    entropy[0] = index >> 3;
    entropy[1] = (index & 7) << 5;
    const phrase = Buffer.from(encodePhrase(entropy)).toString();
    return phrase.split(' ')[0] !== wordlist[index] || toHex(decodePhrase(bytes(phrase))) !== toHex(entropy);
  });
  t.same(wrong, []);
  t.equal(present(wordlist[2047]), 'zoo');
});
