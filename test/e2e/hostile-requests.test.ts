/**
 * Hostile requests against a live node: whatever a client sends, the answer is a clean status, both processes live
 * on in bounded memory, and the next good request is served.
 */
import { readFileSync } from 'node:fs';
import { type DescMethod, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { STATUS, statusName } from '../../parent/grpc/status.ts';
import { PublicDecryptionRequestSchema, UserDecryptionRequestSchema } from '../../proto/gen/kms_pb.js';
import { CoreServiceEndpoint } from '../../proto/gen/kms-service_pb.js';
import { MetaStoreStatusService } from '../../proto/gen/metastore-status_pb.js';
import { mutants, sampleMessage } from '../helpers/mutate-message.ts';
import { freshId, newUser, outcomeOf, publicDecryption, statusOf, userDecryption } from '../helpers/party-requests.ts';
import { encryptFor, startParty, TEST_DOMAIN } from '../helpers/start-party.ts';

const VALUE = 0xdead_beef_cafe_f00dn;
const IN_FLIGHT = 16;

const party = await startParty(t, { logLevel: 'info' });
const { keyId } = await party.generateKey();
const formats = [0, 1, 2, 3];
const encrypted = await encryptFor(
  party,
  keyId,
  formats.map((format) => ({ value: VALUE, fheType: 5, format })),
);
const ciphertexts = encrypted.map((ciphertext, format) => ({ ciphertext, fheType: 5, format }));
/** The small ones: each of the requests below carries them. */
const carried = ciphertexts.filter(({ format }) => format === 0 || format === 2);
const user = newUser();
const pids = party.pids();

/** Status that a start or look-up may give to a request which is not in order. */
const CLEAN: ReadonlySet<number> = new Set([
  STATUS.OK,
  STATUS.INVALID_ARGUMENT,
  STATUS.NOT_FOUND,
  STATUS.ALREADY_EXISTS,
  STATUS.RESOURCE_EXHAUSTED,
  STATUS.FAILED_PRECONDITION,
  STATUS.UNIMPLEMENTED,
]);
/** These alone need a part that this release lacks, and say so. */
const NEEDS_BACKUP = /^(GetOperatorPublicKey|RestoreFromBackup|Custodian\w+|ListRequests)$/;
/** These alone tell a fault of a ciphertext, in the answer to the start. */
const DECRYPTS_AT_ONCE = /^(Public|User)DecryptSync$/;

/** Sends a body and returns what is wrong with the answer, undefined if its status is a clean one. */
async function faultOf({ name, parent }: DescMethod, body: Uint8Array): Promise<string | undefined> {
  const { status, reason } = await outcomeOf(party.client.callRaw(`/${parent.typeName}/${name}`, body));
  if (NEEDS_BACKUP.test(name) && status === STATUS.UNAVAILABLE) return undefined;
  if (DECRYPTS_AT_ONCE.test(name) && status === STATUS.INTERNAL) return undefined;
  return CLEAN.has(status) ? undefined : `${statusName(status)}: ${reason}`;
}

/** A message of the method's type with good values: real ciphertexts, and ids that do not exist for the rest. */
function goodRequest(method: DescMethod): object {
  if (method.input.typeName === PublicDecryptionRequestSchema.typeName) return publicDecryption(keyId, carried);
  if (method.input.typeName === UserDecryptionRequestSchema.typeName) return userDecryption(keyId, carried, user);
  return sampleMessage(method.input, (typeName) => {
    if (typeName === 'kms.v1.RequestId') return { requestId: freshId() };
    return typeName === 'kms.v1.Eip712DomainMsg' ? TEST_DOMAIN.message : undefined;
  });
}

/** Runs many calls, a few at a time, and returns what `run` says of each. */
async function inParallel<T, R>(items: Iterable<T>, run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) results.push(await run(next.value));
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return results;
}

const methods = [...CoreServiceEndpoint.methods, ...MetaStoreStatusService.methods];
const decryptions = methods.filter(({ name }) => /^(Public|User)Decrypt(Sync)?$/.test(name));

t.test('the requests that are mutated below are good ones', async (t) => {
  for (const method of decryptions) {
    const { parent, name, input } = method;
    const call = party.client.callRaw(`/${parent.typeName}/${name}`, toBinary(input, goodMessage(method)));
    t.equal(await statusOf(call), STATUS.OK, name);
  }
});

for (const method of methods) {
  t.test(`${method.name}: every field of its request may hold anything`, async (t) => {
    const dirty = await inParallel(
      mutants(method.input, () => goodRequest(method)),
      async ({ field, how, wire }) => {
        const fault = await faultOf(method, wire);
        return fault && `${field} ${how}: ${fault}`;
      },
    );
    t.same(
      dirty.filter((fault) => fault !== undefined),
      [],
      `${dirty.length} requests`,
    );
  });

  t.test(`${method.name}: a body that is no message is refused`, async (t) => {
    const good = toBinary(method.input, goodMessage(method));
    for (const [what, body] of badBodies(good)) {
      t.equal(await faultOf(method, body), undefined, what);
    }
  });
}

t.test('any flipped, cut or lengthened bytes of a decryption request get a clean status', async (t) => {
  const step = fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }), how: fc.constantFrom('set', 'cut', 'insert') });
  const plan = fc.tuple(fc.constantFrom(...decryptions), fc.array(step, { minLength: 1, maxLength: 4 }));
  await fc.assert(
    fc.asyncProperty(plan, async ([method, steps]) => {
      let body = Buffer.from(toBinary(method.input, goodMessage(method)));
      for (const { at, byte, how } of steps) {
        const index = at % Math.max(1, body.length);
        if (how === 'cut') body = body.subarray(0, index);
        else if (how === 'set') body[index] = byte;
        else body = Buffer.concat([body.subarray(0, index), Buffer.of(byte), body.subarray(index)]);
      }
      return (await faultOf(method, body)) === undefined;
    }),
    { numRuns: 250 },
  );
  t.pass('1 property');
});

t.test('any change of a ciphertext fails its request or decrypts to something, of its type', async (t) => {
  const change = fc.record({
    format: fc.constantFrom(...formats),
    at: fc.nat(),
    value: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff),
    span: fc.integer({ min: 1, max: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ format, at, value, span }) => {
      const good = encrypted[format] ?? new Uint8Array();
      const ciphertext = good.slice();
      // Headers and lengths stand in front: half of the changes go there.
      const start = at % (at % 2 === 0 ? Math.min(400, good.length) : good.length);
      ciphertext.fill(value, start, start + span);
      const status = await statusOf(
        party.client.call('PublicDecryptSync', publicDecryption(keyId, [{ ciphertext, fheType: 5, format }])),
      );
      return status === STATUS.OK || status === STATUS.INTERNAL;
    }),
    { numRuns: 400 },
  );
  t.pass('1 property');
});

t.test('a ciphertext of one format or type does not pass for another', async (t) => {
  for (const real of formats) {
    for (const format of formats.filter((other) => other !== real)) {
      const ciphertext = encrypted[real] ?? new Uint8Array();
      const status = await statusOf(
        party.client.call('PublicDecryptSync', publicDecryption(keyId, [{ ciphertext, fheType: 5, format }])),
      );
      t.equal(status, STATUS.INTERNAL, `format ${real} sent as ${format}`);
    }
    for (const fheType of [0, 2, 3, 4, 6, 7, 8]) {
      const ciphertext = encrypted[real] ?? new Uint8Array();
      const status = await statusOf(
        party.client.call('PublicDecryptSync', publicDecryption(keyId, [{ ciphertext, fheType, format: real }])),
      );
      t.equal(status, STATUS.INTERNAL, `euint64 in format ${real} sent as type ${fheType}`);
    }
  }
});

t.test('both processes are the ones that were started, small, and serve the next good request', async (t) => {
  t.same(party.pids(), pids, 'neither was started again');
  for (const [name, pid] of Object.entries(pids)) {
    const peakMiB = peakMemoryMiB(pid);
    t.ok(peakMiB < 500, `${name} took ${peakMiB} MiB at most`);
  }
  t.equal(await party.client.health(), 1, 'SERVING');
  const answer = await party.client.call('PublicDecryptSync', publicDecryption(keyId, ciphertexts));
  for (const plaintext of answer.payload?.plaintexts ?? []) {
    t.equal(Buffer.from(plaintext.bytes).readBigUInt64LE(), VALUE);
  }
  t.equal(answer.payload?.plaintexts.length, formats.length);
});

function goodMessage(method: DescMethod) {
  return Object.assign(goodRequest(method), { $typeName: method.input.typeName });
}

function* badBodies(good: Uint8Array): Generator<[string, Uint8Array]> {
  yield ['empty', new Uint8Array()];
  yield ['all ones', new Uint8Array(64).fill(0xff)];
  yield ['cut', good.subarray(0, -1)];
  yield ['trailing bytes', Buffer.concat([good, Buffer.from([0x07])])];
  yield ['field number 0', Uint8Array.of(0x00, 0x00)];
  yield ['a length beyond the end', Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f)];
  yield ['a length of 2^64', Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)];
  yield ['groups nested a million deep', new Uint8Array(1_000_000).fill(0x0b)];
  yield ['messages nested a thousand deep', nested(1000)];
  yield ['a million empty fields', Buffer.alloc(2_000_000, Buffer.of(0x0a, 0x00))];
  yield ['text that is no UTF-8', Uint8Array.of(0x0a, 0x04, 0x0a, 0x02, 0xc3, 0x28)];
  yield ['8 MiB of nothing', new Uint8Array(8 * 2 ** 20)];
}

/** Field 1 within field 1 within field 1, … */
function nested(depth: number): Uint8Array {
  let body = Buffer.alloc(0);
  for (let level = 0; level < depth; level++) {
    const length = body.length < 128 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7];
    body = Buffer.concat([Buffer.of(0x0a, ...length), body]);
  }
  return body;
}

/** Most memory that a process ever held, as Linux counts it. */
function peakMemoryMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024);
}
