import fc from 'fast-check';
import t from 'tap';
import {
  decodeNsmRequest,
  decodeNsmResponse,
  encodeNsmRequest,
  encodeNsmResponse,
} from '../../../../attestation/attester/nsm-codec.ts';
import { NSM_ERRORS, type NsmRequest, type NsmResponse } from '../../../../attestation/attester/nsm-messages.ts';
import { encodeCanonical } from '../../../../attestation/cbor.ts';
import { fromHex, toHex } from '../../../../common/bytes.ts';
import { mutate, seededRandom } from '../../../helpers/mutate.ts';

/** The bytes of a text of CBOR, short enough for a one-byte head. */
const text = (value: string) => toHex(encodeCanonical(value));
const REGISTER = new Uint8Array(48).fill(7);

const REQUESTS: readonly (readonly [NsmRequest, string])[] = [
  [{ kind: 'DescribeNSM' }, text('DescribeNSM')],
  [{ kind: 'GetRandom' }, text('GetRandom')],
  [{ kind: 'DescribePCR', index: 16 }, `a1${text('DescribePCR')}a1${text('index')}10`],
  [
    { kind: 'ExtendPCR', index: 31, data: Uint8Array.of(1, 2) },
    `a1${text('ExtendPCR')}a2${text('data')}420102${text('index')}181f`,
  ],
  [{ kind: 'LockPCR', index: 16 }, `a1${text('LockPCR')}a1${text('index')}10`],
  [{ kind: 'LockPCRs', range: 32 }, `a1${text('LockPCRs')}a1${text('range')}1820`],
  [
    { kind: 'Attestation', userData: undefined, nonce: Uint8Array.of(5), publicKey: undefined },
    `a1${text('Attestation')}a3${text('nonce')}4105${text('user_data')}f6${text('public_key')}f6`,
  ],
];

const RESPONSES: readonly NsmResponse[] = [
  { kind: 'DescribeNSM', version: [1, 2, 3], moduleId: 'i-1-enc2', maxPcrs: 32, lockedPcrs: [0, 16], digest: 'SHA384' },
  { kind: 'GetRandom', random: new Uint8Array(256) },
  { kind: 'DescribePCR', lock: true, data: REGISTER },
  { kind: 'ExtendPCR', data: REGISTER },
  { kind: 'LockPCR' },
  { kind: 'LockPCRs' },
  { kind: 'Attestation', document: Uint8Array.of(0x84) },
  ...NSM_ERRORS.map((error) => ({ kind: 'Error', error }) as const),
];

t.test('requests have the device’s own shape, and are read back', async (t) => {
  for (const [request, hex] of REQUESTS) {
    t.equal(toHex(encodeNsmRequest(request)), hex, `${request.kind} is written`);
    t.strictSame(decodeNsmRequest(fromHex(hex)), request, `${request.kind} is read`);
  }
});

t.test('answers are read back as they were written', async (t) => {
  for (const response of RESPONSES) {
    t.strictSame(decodeNsmResponse(encodeNsmResponse(response)), response, JSON.stringify(response));
  }
  t.equal(toHex(encodeNsmResponse({ kind: 'LockPCRs' })), text('LockPCRs'), 'an answer without fields is a text');
  t.equal(
    toHex(encodeNsmResponse({ kind: 'Error', error: 'InvalidIndex' })),
    `a1${text('Error')}${text('InvalidIndex')}`,
    'a refusal is a map of one entry',
  );
});

t.test('optional fields may be null or left out, maps may be of indefinite length', async (t) => {
  const none = { kind: 'Attestation', userData: undefined, nonce: undefined, publicKey: undefined };
  t.strictSame(decodeNsmRequest(fromHex(`a1${text('Attestation')}a0`)), none, 'left out');
  t.strictSame(decodeNsmRequest(fromHex(`bf${text('Attestation')}bf${text('nonce')}f6ffff`)), none, 'indefinite');
  t.strictSame(
    decodeNsmRequest(fromHex(`a1${text('Attestation')}a1${text('nonce')}40`)),
    { ...none, nonce: new Uint8Array(0) },
    'empty is not absent',
  );
});

t.test('what is no request is refused in the device’s words', async (t) => {
  const index = text('index');
  const cases: readonly (readonly [why: string, hex: string, error: string])[] = [
    ['nothing', '', 'InvalidOperation'],
    ['malformed', 'a1', 'InvalidOperation'],
    ['trailing bytes', `${text('GetRandom')}00`, 'InvalidOperation'],
    ['a number', '05', 'InvalidOperation'],
    ['an unknown text', text('Reboot'), 'InvalidOperation'],
    ['an unknown map', `a1${text('Reboot')}a0`, 'InvalidOperation'],
    [
      'two requests in one map',
      `a2${text('LockPCR')}a1${index}00${text('LockPCRs')}a1${text('range')}00`,
      'InvalidOperation',
    ],
    ['fields where none belong', `a1${text('GetRandom')}a0`, 'InvalidOperation'],
    ['no fields where some belong', text('LockPCR'), 'InvalidOperation'],
    ['too deep', `a1${text('DescribePCR')}a1${index}${'81'.repeat(200)}00`, 'InvalidOperation'],
    ['a huge length', `a1${text('ExtendPCR')}a2${index}10${text('data')}5bffffffffffffffff`, 'InvalidOperation'],
    ['the same field twice', `a1${text('LockPCR')}a2${index}10${index}11`, 'InvalidOperation'],
    ['fields in an array', `a1${text('LockPCR')}8110`, 'InvalidArgument'],
    ['a negative index', `a1${text('LockPCR')}a1${index}20`, 'InvalidArgument'],
    ['an index as text', `a1${text('LockPCR')}a1${index}${text('0')}`, 'InvalidArgument'],
    ['an index beyond exact numbers', `a1${text('LockPCR')}a1${index}1bffffffffffffffff`, 'InvalidArgument'],
    ['a missing field', `a1${text('ExtendPCR')}a1${index}10`, 'InvalidArgument'],
    ['an unknown field', `a1${text('LockPCR')}a2${index}10${text('force')}f5`, 'InvalidArgument'],
    ['text for bytes', `a1${text('Attestation')}a1${text('nonce')}${text('abc')}`, 'InvalidArgument'],
  ];
  for (const [why, hex, error] of cases) t.strictSame(decodeNsmRequest(fromHex(hex)), { kind: 'Error', error }, why);
  const long = encodeNsmRequest({ kind: 'ExtendPCR', index: 16, data: new Uint8Array(0x1000) });
  t.strictSame(decodeNsmRequest(long), { kind: 'Error', error: 'InputTooLarge' }, 'too long');
});

t.test('an answer longer than the device’s buffer becomes BufferTooSmall', async (t) => {
  const answer = encodeNsmResponse({ kind: 'Attestation', document: new Uint8Array(0x3000) });
  t.strictSame(decodeNsmResponse(answer), { kind: 'Error', error: 'BufferTooSmall' });
});

t.test('an answer that makes no sense is ATTESTATION_INVALID', async (t) => {
  for (const [why, hex] of [
    ['nothing', ''],
    ['an unknown text', text('Hello')],
    ['an unknown map', `a1${text('Hello')}a0`],
    ['an unknown refusal', `a1${text('Error')}${text('Later')}`],
    ['a field missing', `a1${text('DescribePCR')}a1${text('lock')}f5`],
    ['a field of another type', `a1${text('Attestation')}a1${text('document')}f6`],
    ['too long', '00'.repeat(0x3001)],
  ] as const) {
    t.throws(() => decodeNsmResponse(fromHex(hex)), { code: 'ATTESTATION_INVALID' }, why);
  }
});

t.test('any bytes are a request or a refusal, and any bytes an answer or one error', async (t) => {
  const isRead = (bytes: Uint8Array): boolean => {
    decodeNsmRequest(bytes);
    try {
      decodeNsmResponse(bytes);
      return true;
    } catch (error) {
      return error instanceof Error && 'code' in error && error.code === 'ATTESTATION_INVALID';
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), isRead));
  const random = seededRandom(4);
  const good = [...REQUESTS.map(([request]) => encodeNsmRequest(request)), ...RESPONSES.map(encodeNsmResponse)];
  let read = 0;
  for (let i = 0; i < 20_000; i++) {
    const [a = good[0], b = good[0]] = [good[random(good.length)], good[random(good.length)]];
    if (a !== undefined && b !== undefined && isRead(mutate(random, a, b))) read++;
  }
  t.equal(read, 20_000, 'mutated messages');
});
