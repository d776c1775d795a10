/** Native draws of pseudorandom sharings are the twin's, in both families and rings. */
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { systemRandom } from '../../../common/random.ts';
import { type Element, GR64, GR128 } from '../../../enclave/algebra/galois-ring.ts';
import { prssShare, przsShare } from '../../../enclave/algebra/prss.ts';
import { encodeVector } from '../../../enclave/algebra/ring-encoding.ts';
import { chi, derivePrfKey, prssDigest, psi } from '../../../enclave/algebra/set-prf.ts';
import * as native from '../../../native/engine/index.ts';
import { keyedSets, setUps } from './set-ups.ts';

const FIRST = 254;
const COUNT = 4;

for (const [bits, ring] of [
  [64, GR64],
  [128, GR128],
] as const) {
  for (const [n, threshold] of [
    [4, 1],
    [7, 2],
  ] as const) {
    t.test(`shares and values of ${n} parties in GR(2^${bits}, 4)`, async (t) => {
      const sessionId = systemRandom(32);
      const counters = Array.from({ length: COUNT }, (_, i) => BigInt(FIRST + i));
      for (const setUp of setUps(n, threshold, keyedSets(n, threshold)).slice(0, 3)) {
        const keys = setUp.held.map(({ key }) => key);
        using own = native.PrssKeys.fromKeys({ ring: bits, n, t: threshold, party: setUp.party, sessionId, keys });
        const twin = (share: typeof prssShare): Element[] => counters.map((c) => share(ring, setUp, sessionId, c));
        for (const [family, share] of [
          ['prss', prssShare],
          ['przs', przsShare],
        ] as const) {
          const weights = native.prssWeights({ ring: bits, n, t: threshold, party: setUp.party, family }).flat();
          const values = own.values(family, BigInt(FIRST)).map((bytes) => native.ShareVector.fromBytes(bits, bytes));
          const each = values.flatMap((value) => Array.from({ length: value.length }, (_, j) => value.slice(j, j + 1)));
          const [one] = twin(share);
          t.equal(
            toHex(native.combine(each, weights).encode()),
            toHex(encodeVector(ring, one ? [one] : [])),
            `${family} of party ${setUp.party}, from its values`,
          );
          const drawn = own.draw(family, BigInt(FIRST), COUNT).encode();
          t.equal(toHex(drawn), toHex(encodeVector(ring, twin(share))), `${family} of party ${setUp.party}`);
        }
        const prfKeys = (family: 'psi' | 'chi'): Uint8Array[] =>
          keys.map((key) => derivePrfKey(key, prssDigest(family, sessionId)));
        t.same(
          own.values('prss', 9n).map(toHex),
          prfKeys('psi').map((key) => toHex(encodeVector(ring, [psi(ring, key, 9n)]))),
        );
        const indices = Array.from({ length: threshold }, (_, j) => j + 1);
        t.same(
          own.values('przs', 9n).map(toHex),
          prfKeys('chi').map((key) =>
            toHex(
              encodeVector(
                ring,
                indices.map((j) => chi(ring, key, 9n, j)),
              ),
            ),
          ),
        );
      }
    });
  }
}
