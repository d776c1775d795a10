/**
 * Signs answers together that are ready at the same time, on the native thread pool.
 *
 * The way there and back costs the event loop half of what an answer's signatures do: so a few answers share one way, and
 * an answer that comes alone is signed on the spot. What is signed is public; the key stays in native memory.
 */
import { Gathering, type Outcome } from './gathering.ts';
import type { AnswerToSign, NodeKey, SignedAnswer } from './node-key.ts';

/** Fewer are signed on the spot. */
export const FEWEST_TOGETHER = 3;
/** About a millisecond of a pool thread's time. */
export const MOST_TOGETHER = 32;
/** Larger answers are hashed where they lie, on the spot: what goes to the pool is copied. */
export const MOST_BYTES = 16_384;

const DIGEST_BYTES = 32;

/** Signs by a key, together what can be. At most one batch is away at a time; answers may overtake each other. */
export class AnswerBatches {
  readonly #key: Pick<NodeKey, 'signAnswer' | 'signAnswers'>;
  readonly #gathering: Gathering<AnswerToSign, SignedAnswer>;

  constructor(key: Pick<NodeKey, 'signAnswer' | 'signAnswers'>) {
    this.#key = key;
    this.#gathering = new Gathering({
      atATime: 1,
      most: MOST_TOGETHER,
      begin: (leave) => process.nextTick(leave),
      run: (batch) => this.#run(batch),
    });
  }

  /**
   * Signs one answer, together with others that are asked for in the same turn of the event loop or while a batch is away.
   *
   * @throws {@link KmsError} `REQUEST_INVALID` for a digest that has not 32 bytes; no other answer fails with it.
   * `KEY_INVALID` once the key was disposed of.
   */
  async sign(answer: AnswerToSign): Promise<SignedAnswer> {
    const { digest, tagged } = answer;
    const isOrdinary = digest.byteLength === DIGEST_BYTES && tagged.byteLength <= MOST_BYTES;
    return isOrdinary ? await this.#gathering.add(answer) : this.#key.signAnswer(answer);
  }

  async #run(batch: readonly AnswerToSign[]): Promise<Outcome<SignedAnswer>[]> {
    const signed =
      batch.length < FEWEST_TOGETHER
        ? batch.map((answer) => this.#key.signAnswer(answer))
        : await this.#key.signAnswers(batch);
    return signed.map((result) => ({ result }));
  }
}
