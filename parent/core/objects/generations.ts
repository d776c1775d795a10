/**
 * Runs a generation on the engine and keeps public storage in step with it.
 *
 * The engine's private object is the commit point. So: an answer means all public objects are durable; an error of the
 * engine means nothing was committed and what this call stored is removed; a lost engine means nobody knows, so the
 * run waits until the engine is back and asks it.
 */
import type { EngineMethod } from '../../../wire/frames.ts';

/** One generation, as the request handlers start it. */
export interface GenerationRun {
  /** A number of `ENGINE_METHOD` in wire/frames.ts: KEYGEN or CRSGEN. */
  readonly method: EngineMethod;
  /** Key or CRS id (64 lower-case hex characters), under which its objects are stored. */
  readonly id: string;
  readonly epochId: string;
  /** Encoded engine.v1.KeyGenCall or CrsGenCall. */
  readonly body: Uint8Array;
  /** Aborts the generation; the run then rejects with ABORTED, unless the engine had committed. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: { phase: string; fraction: number; estimated: boolean }) => void) | undefined;
}

/** What an interrupted generation came to. */
export type GenerationOutcome =
  | { readonly state: 'done'; readonly result: Uint8Array }
  | { readonly state: 'failed'; readonly reason: string };

/** Generations on the engine. */
export interface Generations {
  /**
   * Resolves with the encoded kms.v1.KeyGenResult or CrsGenResult.
   *
   * @throws KmsError of the engine; TASK_FAILED `engine stopped` when the engine went away before it committed;
   * STORAGE_FULL when public storage was full; UNAVAILABLE when the engine was down from the start.
   */
  run(generation: GenerationRun): Promise<Uint8Array>;
  /**
   * After a restart of the Core: says what became of a generation that was running, and removes its orphan objects if
   * it failed. The engine must be connected.
   */
  settle(kind: 'keygen' | 'crsgen', id: string): Promise<GenerationOutcome>;
}
