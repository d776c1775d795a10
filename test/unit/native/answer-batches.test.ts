/** Answers signed together: the same bytes as by themselves, in bounded batches, and one's failure is its own. */
import fc from 'fast-check';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { AnswerSigner } from '../../../enclave/sign/answer-signer.ts';
import { AnswerBatches, FEWEST_TOGETHER, MOST_BYTES, MOST_TOGETHER } from '../../../native/engine/answer-batches.ts';
import { type AnswerToSign, keccak256, NodeKey, type SignedAnswer } from '../../../native/engine/index.ts';
import { HASH_TAG } from '../../../wire/hash.ts';

function answers(count: number): AnswerToSign[] {
  return Array.from({ length: count }, (_, i) => {
    return { digest: new Uint8Array(32).fill(i + 1), tagged: new Uint8Array(i).fill(i) };
  });
}

function atOnce(key: NodeKey, { digest, tagged }: AnswerToSign): SignedAnswer {
  return { external: key.signDigest(digest), internal: key.signSha256(tagged) };
}

/** A key that says what it is asked, and whose batches come back when the test says so. */
function scene(key: NodeKey) {
  const onTheSpot: AnswerToSign[] = [];
  const calls: (readonly AnswerToSign[])[] = [];
  const away: PromiseWithResolvers<void>[] = [];
  const batches = new AnswerBatches({
    signAnswer: (answer) => {
      onTheSpot.push(answer);
      return key.signAnswer(answer);
    },
    signAnswers: async (given) => {
      calls.push(given);
      const back = Promise.withResolvers<void>();
      away.push(back);
      await back.promise;
      return await key.signAnswers(given);
    },
  });
  return { batches, onTheSpot, calls, away };
}

/** The end of this turn of the event loop, and of whatever follows from it. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const answer = fc.record({
  digest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  tagged: fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.constantFrom(MOST_BYTES, MOST_BYTES + 1).map((length) => new Uint8Array(length)),
  ),
});

t.test('answers signed together have the signatures that each would have alone', async (t) => {
  using key = NodeKey.generate();
  const batches = new AnswerBatches(key);
  await fc.assert(
    fc.asyncProperty(fc.array(answer, { maxLength: 2 * MOST_TOGETHER + 3 }), async (asked) => {
      const signed = await Promise.all(asked.map((one) => batches.sign(one)));
      t.strictSame(
        signed,
        asked.map((one) => atOnce(key, one)),
        `${asked.length} answers`,
      );
    }),
    { numRuns: 25 },
  );
});

t.test('the native call signs any number of answers, in their order', async (t) => {
  using key = NodeKey.generate();
  t.strictSame(await key.signAnswers([]), []);
  const many = answers(300);
  t.strictSame(
    await key.signAnswers(many),
    many.map((one) => atOnce(key, one)),
  );
  for (const length of [0, 31, 33]) {
    const bad = { digest: new Uint8Array(length), tagged: new Uint8Array(64) };
    await t.rejects(key.signAnswers([...answers(2), bad]), { code: 'REQUEST_INVALID' }, `a digest of ${length} bytes`);
  }
});

t.test('answers that come alone, or are large, are signed on the spot', async (t) => {
  using key = NodeKey.generate();
  const { batches, onTheSpot, calls } = scene(key);
  const few = answers(FEWEST_TOGETHER - 1);
  await Promise.all(few.map((one) => batches.sign(one)));
  for (const one of few) await batches.sign(one);
  const large = { digest: new Uint8Array(32), tagged: new Uint8Array(MOST_BYTES + 1) };
  await Promise.all(Array.from({ length: FEWEST_TOGETHER }, () => batches.sign(large)));
  t.strictSame(calls, [], 'nothing went to the pool');
  t.equal(onTheSpot.length, 2 * few.length + FEWEST_TOGETHER);
});

t.test('answers of one turn leave together, those that come meanwhile wait for the next batch', async (t) => {
  using key = NodeKey.generate();
  const { batches, onTheSpot, calls, away } = scene(key);
  const asked = answers(FEWEST_TOGETHER + 2 * MOST_TOGETHER + 1);
  const first = asked.slice(0, FEWEST_TOGETHER).map((one) => batches.sign(one));
  t.equal(calls.length, 0, 'not before the turn ends');
  await turn();
  t.strictSame(
    calls.map((batch) => batch.length),
    [FEWEST_TOGETHER],
  );
  const later = asked.slice(FEWEST_TOGETHER).map((one) => batches.sign(one));
  await turn();
  t.equal(calls.length, 1, 'one batch is away at a time');
  for (const expected of [2, 3]) {
    away.at(-1)?.resolve();
    while (calls.length < expected) await turn();
    t.equal(calls.length, expected);
    t.equal(calls.at(-1)?.length, MOST_TOGETHER, 'no batch has more');
  }
  t.equal(onTheSpot.length, 0);
  away.at(-1)?.resolve();
  const signed = await Promise.all([...first, ...later]);
  t.equal(onTheSpot.length, 1, 'the last one is alone again');
  t.strictSame(
    signed,
    asked.map((one) => atOnce(key, one)),
  );
});

t.test('an answer that cannot be signed fails alone', async (t) => {
  using key = NodeKey.generate();
  const batches = new AnswerBatches(key);
  const bad = { digest: new Uint8Array(31), tagged: new Uint8Array(1) };
  const good = answers(5);
  const results = await Promise.allSettled(
    [...good.slice(0, 2), bad, ...good.slice(2)].map((one) => batches.sign(one)),
  );
  const [failed] = results.splice(2, 1);
  t.match(failed, { status: 'rejected', reason: { code: 'REQUEST_INVALID' } });
  const right = good.map((one) => ({ status: 'fulfilled', value: atOnce(key, one) }));
  t.strictSame(results, right);
});

t.test('a batch that fails takes no later answer with it', async (t) => {
  using key = NodeKey.generate();
  const failure = new KmsError('INTERNAL', 'no memory');
  let fails = true;
  const batches = new AnswerBatches({
    signAnswer: (one) => key.signAnswer(one),
    signAnswers: async (given) => {
      if (fails) throw failure;
      return await key.signAnswers(given);
    },
  });
  const all = (): Promise<PromiseSettledResult<SignedAnswer>[]> =>
    Promise.allSettled(answers(FEWEST_TOGETHER).map((one) => batches.sign(one)));
  for (const result of await all()) t.match(result, { status: 'rejected', reason: failure });
  fails = false;
  for (const result of await all()) t.equal(result.status, 'fulfilled');
});

t.test('a key disposed of while a batch runs signs that batch and nothing after it', async (t) => {
  const bytes = new Uint8Array(32).fill(7);
  using same = NodeKey.fromBytes(bytes);
  const key = NodeKey.fromBytes(bytes);
  const batches = new AnswerBatches(key);
  const asked = answers(MOST_TOGETHER);
  const running = Promise.all(asked.map((one) => batches.sign(one)));
  await Promise.resolve().then(() => new Promise<void>((resolve) => process.nextTick(resolve)));
  key.dispose();
  t.strictSame(
    await running,
    asked.map((one) => atOnce(same, one)),
  );
  for (const count of [1, FEWEST_TOGETHER]) {
    const after = await Promise.allSettled(answers(count).map((one) => batches.sign(one)));
    for (const result of after) t.match(result, { status: 'rejected', reason: { code: 'KEY_INVALID' } }, `${count}`);
  }
});

t.test('an answer has the same signatures, further schemes included, whether signed in batches or not', async (t) => {
  using key = NodeKey.generate();
  const signer = new AnswerSigner(key, keccak256);
  const inBatches = signer.inBatches();
  t.strictSame(inBatches.verificationKey, signer.verificationKey);
  const digest = new Uint8Array(32).fill(9);
  const signed = (by: AnswerSigner): Promise<unknown> =>
    Promise.all(
      [[], [0], [1, 0], [0, 1, 2]].map((schemes, i) =>
        by.signPayload(HASH_TAG.userDecryption, new Uint8Array(i), digest, schemes),
      ),
    );
  t.strictSame(await signed(inBatches), await signed(signer));
});
