/** Requests that no honest client sends, to every RPC: a clean refusal, a process that lives, memory that is bounded. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import {
  BandwidthBenchmarkRequestSchema,
  DestroyMpcContextRequestSchema,
  DestroyMpcEpochRequestSchema,
  PublicDecryptionRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { CoreServiceEndpoint } from '../../../proto/gen/kms-service_pb.js';
import { QuorumEngine } from './quorum-engine.ts';
import {
  crsGeneration,
  idBody,
  idOf,
  keyGeneration,
  newContext,
  newCustodianContext,
  newEpoch,
  preprocessing,
  publicDecryption,
  userDecryption,
} from './requests.ts';
import { startTestCore, type TestCoreOptions } from './test-core.ts';

const A = idOf('a');
const destroyEpoch = (id: string): Uint8Array =>
  toBinary(DestroyMpcEpochRequestSchema, create(DestroyMpcEpochRequestSchema, { epochId: { requestId: id } }));
const destroyContext = (id: string): Uint8Array =>
  toBinary(DestroyMpcContextRequestSchema, create(DestroyMpcContextRequestSchema, { contextId: { requestId: id } }));
const benchmark = toBinary(
  BandwidthBenchmarkRequestSchema,
  create(BandwidthBenchmarkRequestSchema, { duration: 1n, numberSessions: 1, payloadSizePerSession: 9 }),
);
const SEEDS: readonly (readonly [string, Uint8Array])[] = [
  ['PublicDecrypt', publicDecryption(A)],
  ['PublicDecryptSync', publicDecryption(A)],
  ['UserDecrypt', userDecryption(A)],
  ['UserDecryptSync', userDecryption(A)],
  ['KeyGenPreproc', preprocessing(A)],
  ['KeyGen', keyGeneration(idOf('b'), A)],
  ['CrsGen', crsGeneration(A)],
  ['NewMpcContext', newContext(A)],
  ['NewMpcEpoch', newEpoch(A)],
  ['GetEpochResult', idBody(A)],
  ['DestroyMpcEpoch', destroyEpoch(A)],
  ['DestroyMpcContext', destroyContext(A)],
  ['BandwidthBenchmark', benchmark],
  ['InsecureKeyGenPreproc', preprocessing(A)],
  ['InsecureKeyGen', keyGeneration(idOf('b'), A)],
  ['InsecureCrsGen', crsGeneration(A)],
  ['NewCustodianContext', newCustodianContext(A, A)],
  ['GetKeyGenResult', idBody(A)],
];

/** What a refused or accepted request may end in; INTERNAL would be a bug. */
const CLEAN = [
  'OK',
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'UNAVAILABLE',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'UNIMPLEMENTED',
];

/** Both kinds of nodes. */
const NODES: readonly (readonly [string, () => TestCoreOptions])[] = [
  ['a centralized node', () => ({})],
  ['a threshold node', () => ({ threshold: true, engine: new QuorumEngine() })],
];

for (const [node, options] of NODES)
  t.test(`a changed, cut or extended request is answered by ${node}, never an accident`, async (t) => {
    const core = await startTestCore(t, { file: ':memory:', ...options() });
    const change = fc.record({
      seed: fc.constantFrom(...SEEDS),
      at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 6 }),
      how: fc.constantFrom('overwrite', 'insert', 'cut', 'append'),
    });
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(change, async ({ seed: [rpc, seed], at, bytes, how }) => {
        const cut = Math.floor(at * seed.length);
        const parts = {
          overwrite: [seed.subarray(0, cut), bytes, seed.subarray(cut + bytes.length)],
          insert: [seed.subarray(0, cut), bytes, seed.subarray(cut)],
          cut: [seed.subarray(0, cut)],
          append: [seed, bytes],
        }[how];
        const status = await core.status(rpc, Buffer.concat(parts));
        seen.add(status);
        return CLEAN.includes(status);
      }),
      { numRuns: 600 },
    );
    t.ok(seen.has('INVALID_ARGUMENT'), [...seen].join(', '));
    t.notMatch(core.logs.join(''), '"level":"error"');
  });

for (const [node, options] of NODES)
  t.test(`any bytes at all are answered by every RPC of ${node}`, async (t) => {
    const core = await startTestCore(t, { file: ':memory:', ...options() });
    const rpc = fc.constantFrom(...CoreServiceEndpoint.methods.map(({ name }) => name));
    await fc.assert(
      fc.asyncProperty(rpc, fc.uint8Array({ maxLength: 60 }), async (name, body) => {
        return CLEAN.includes(await core.status(name, body));
      }),
      { numRuns: 400 },
    );
    t.notMatch(core.logs.join(''), '"level":"error"');
  });

t.test('a field that is repeated without end is refused before it is decoded', async (t) => {
  const core = await startTestCore(t, { file: ':memory:' });
  const bombs: readonly (readonly [string, Uint8Array])[] = [
    ['ten million empty ciphertexts', Buffer.alloc(20_000_000, Uint8Array.of(0x12, 0))],
    [
      'ten million signing schemes',
      Buffer.concat([Uint8Array.of(0x42, 0x80, 0xad, 0xe2, 4), Buffer.alloc(10_000_000)]),
    ],
    ['ten million unknown fields', Buffer.alloc(30_000_000, Uint8Array.of(0xb8, 0x3e, 1))],
    ['nested groups', Buffer.alloc(1_000_000, 0x0b)],
    ['a name of ten megabytes', publicDecryption(A, { domain: { name: 'x'.repeat(10_000_000) } })],
  ];
  const before = process.memoryUsage().heapUsed;
  for (const [why, body] of bombs) t.equal(await core.status('PublicDecryptSync', body), 'INVALID_ARGUMENT', why);
  const grown = process.memoryUsage().heapUsed - before;
  t.ok(grown < 150_000_000, `heap grew by ${Math.round(grown / 1e6)} MB`);
});

t.test('a request with as many ciphertexts as there may be is served', async (t) => {
  const core = await startTestCore(t, { file: ':memory:' });
  const ciphertexts = Array.from({ length: 4000 }, () => ({ ciphertext: new Uint8Array(50), fheType: 5 }));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A, { ciphertexts })), 'OK');
  const sent = core.engine.calls[0]?.body ?? new Uint8Array(0);
  t.equal(fromBinary(PublicDecryptionRequestSchema, sent).ciphertexts.length, 4000);
});

t.test("unknown fields are the engine's to ignore too", async (t) => {
  const core = await startTestCore(t, { file: ':memory:' });
  const request = toBinary(PublicDecryptionRequestSchema, create(PublicDecryptionRequestSchema));
  const body = Buffer.concat([publicDecryption(A), request, Uint8Array.of(0xf8, 0x07, 1)]);
  t.equal(await core.status('PublicDecryptSync', body), 'OK');
});
