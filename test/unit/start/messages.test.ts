/** Messages about starts: exactly one of three, or refused. */
import t from 'tap';
import { encodeCanonical } from '../../../attestation/cbor.ts';
import { isKmsError } from '../../../common/errors.ts';
import {
  encodeStartMessage,
  MAX_START_MESSAGE_BYTES,
  parseStartMessage,
  REFUSALS,
  type StartMessage,
} from '../../../enclave/start/start-messages.ts';
import { mutate, seededRandom } from '../../helpers/mutate.ts';

const digest = new Uint8Array(48).fill(7);
const MESSAGES: readonly StartMessage[] = [
  { type: 'start', record: Uint8Array.of(1, 2, 3) },
  { type: 'acknowledged', digest, isMemory: true, records: [] },
  { type: 'acknowledged', digest, isMemory: false, records: [Uint8Array.of(1), Uint8Array.of(2)] },
  ...REFUSALS.map((why): StartMessage => ({ type: 'refused', digest, why, seen: undefined })),
  { type: 'refused', digest, why: 'manifest-older', seen: Uint8Array.of(9) },
];

t.test('are read as they were written', async (t) => {
  for (const message of MESSAGES) t.same(parseStartMessage(encodeStartMessage(message)), message, message.type);
});

t.test('anything else is refused', async (t) => {
  const bad: readonly (readonly [string, Uint8Array])[] = [
    ['nothing', new Uint8Array(0)],
    ['a number', encodeCanonical(1)],
    ['no known type', encodeCanonical([3, digest])],
    ['a start of two', encodeCanonical([0, digest, digest])],
    ['a start that is text', encodeCanonical([0, 'x'])],
    ['a short digest', encodeCanonical([1, digest.slice(1), true, []])],
    ['memory by a number', encodeCanonical([1, digest, 1, []])],
    ['records that are none', encodeCanonical([1, digest, true, [1]])],
    ['too many records', encodeCanonical([1, digest, true, Array.from({ length: 129 }, () => digest)])],
    ['an unknown reason', encodeCanonical([2, digest, REFUSALS.length, null])],
    ['too much', encodeCanonical([0, new Uint8Array(MAX_START_MESSAGE_BYTES)])],
  ];
  for (const [why, bytes] of bad) t.throws(() => parseStartMessage(bytes), { code: 'REQUEST_INVALID' }, why);
});

t.test('2,000 seeded mutations are a message or refused, and never anything else', async (t) => {
  const random = seededRandom(4);
  const whole = MESSAGES.map(encodeStartMessage);
  for (let round = 0; round < 2000; round++) {
    const [one, other] = [whole[round % whole.length], whole[(round + 3) % whole.length]];
    if (!one || !other) continue;
    const damaged = mutate(random, one, other);
    try {
      const again = encodeStartMessage(parseStartMessage(damaged));
      if (!Buffer.from(again).equals(Buffer.from(damaged))) t.fail(`round ${round}: two encodings`);
    } catch (error) {
      if (!isKmsError(error, 'REQUEST_INVALID')) throw error;
    }
  }
  t.pass('2,000');
});
