/** Situations that the status matrix brings a Core into, and how its rows are written. */
import { KmsError } from '../../../../common/errors.ts';
import { ENGINE_METHOD } from '../../../../wire/frames.ts';
import { crsGeneration, idOf, keyGeneration, preprocessing } from '../requests.ts';
import { type TestCore, type TestCoreOptions, untilAborted } from '../test-core.ts';

/** One row of the table. */
export interface Row {
  readonly rpc: string;
  readonly when: string;
  readonly options?: TestCoreOptions;
  readonly before?: (core: TestCore) => Promise<unknown> | unknown;
  readonly body: Uint8Array;
  readonly status: string;
}

/** Writes a row: what is asked, in which situation, and the status that must come. */
export function row(
  rpc: string,
  when: string,
  status: string,
  body: Uint8Array,
  situation: Pick<Row, 'options' | 'before'> = {},
): Row {
  return { rpc, when, status, body, ...situation };
}

/** Three ids. */
export const A = idOf('a');
export const B = idOf('b');
export const C = idOf('c');
/** An empty message, and bytes that are none. */
export const EMPTY = new Uint8Array(0);
export const GARBAGE = Uint8Array.of(0xff, 0xff, 0xff);
/** Ids that are refused. */
export const BAD_ID = '12';
export const ZERO_ID = '0'.repeat(64);
/** Settings that bring a situation about by themselves. */
export const NO_TOKENS: TestCoreOptions = { limits: { bucket_size: 0 } };
export const SHORT: TestCoreOptions = { waits: { resultMs: 20, abortMs: 20 } };

/** An engine that does not answer. */
export const never = (): Promise<Uint8Array> => new Promise(() => undefined);
/** The engine has gone away; the Core knows its keys. */
export const engineGone = ({ engine }: TestCore): void => engine.become('disconnected');
/** The engine was never seen. */
export const engineNeverThere = ({ engine }: TestCore): void => {
  engine.forgetInfo();
  engine.become('disconnected');
};
/** The engine answers with this error. */
export const say =
  (method: number, error: KmsError) =>
  ({ engine }: TestCore): void => {
    engine.answers.set(method, () => Promise.reject(error));
  };
/** One step after the other. */
export const all =
  (...steps: ((core: TestCore) => unknown)[]) =>
  async (core: TestCore): Promise<void> => {
    for (const step of steps) await step(core);
  };
/** Calls and expects it to be accepted. */
export const ok =
  (rpc: string, body: Uint8Array) =>
  async (core: TestCore): Promise<void> => {
    await core.raw(rpc, body);
  };
/** Waits until a request has its outcome. */
export const settled =
  (kind: 'preproc' | 'keygen' | 'crsgen' | 'public_decrypt' | 'user_decrypt', id: string) =>
  async ({ store }: TestCore): Promise<void> => {
    const entry = store.find(kind, id);
    if (entry) await store.settled(entry);
  };
/** Preprocessing A is done. */
export const preprocessed = all(ok('KeyGenPreproc', preprocessing(A)), settled('preproc', A));
/** Key B has been made from A. */
export const generated = all(preprocessed, ok('KeyGen', keyGeneration(B, A)), settled('keygen', B));
/** Key B is being made from A. */
export const generating = all(
  preprocessed,
  ({ generations }) => {
    generations.onRun = untilAborted;
  },
  ok('KeyGen', keyGeneration(B, A)),
);
/** CRS A is being made. */
export const crsRunning = all(
  ({ generations }) => {
    generations.onRun = untilAborted;
  },
  ok('CrsGen', crsGeneration(A)),
);

/** Makes the engine's preprocessing go on until it is cancelled. */
export function abortable({ engine }: TestCore): void {
  engine.answers.set(
    ENGINE_METHOD.keyGenPreproc,
    (_body, { signal }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new KmsError('CANCELLED', 'the caller gave up')));
      }),
  );
}
