/**
 * An engine for tests of the Core: it answers what the test says, or something of the right shape, and can go away.
 *
 * It is passed in where the real client would be; the link itself is tested elsewhere.
 */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../common/errors.ts';
import type { EngineCallOptions, EngineClient } from '../../../parent/core/engine-client/engine-client.ts';
import { type EngineInfo, EngineInfoSchema, type ThresholdInfoSchema } from '../../../proto/gen/engine_pb.js';
import { KeyGenPreprocResultSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { KEY_ID } from './requests.ts';

/** What the engine of a party says of its quorum. */
export type ThresholdInit = MessageInitShape<typeof ThresholdInfoSchema>;

type Answer = (body: Uint8Array, options: EngineCallOptions) => Promise<Uint8Array> | Uint8Array;

/** See the file comment. */
export class ScriptedEngine implements EngineClient {
  state: 'connected' | 'disconnected' = 'connected';
  /** Answers by method; replaced by tests. */
  readonly answers = new Map<number, Answer>();
  /** Calls that came, in order. */
  readonly calls: { method: number; body: Uint8Array }[] = [];
  #info: EngineInfo | undefined;
  #threshold: ThresholdInit | undefined;
  readonly #listeners = new Set<(state: 'connected' | 'disconnected') => void>();

  constructor() {
    const preproc = toBinary(KeyGenPreprocResultSchema, create(KeyGenPreprocResultSchema));
    this.answers.set(ENGINE_METHOD.publicDecrypt, () => Uint8Array.of(0x22, 2, 1, 2));
    this.answers.set(ENGINE_METHOD.userDecrypt, () => Uint8Array.of(0x22, 2, 3, 4));
    this.answers.set(ENGINE_METHOD.keyGenPreproc, () => preproc);
    this.answers.set(ENGINE_METHOD.requireApproval, () => new Uint8Array());
    this.setKeys([KEY_ID]);
  }

  get reason(): string | undefined {
    return this.state === 'connected' ? undefined : 'stopped by the test';
  }

  info(): EngineInfo | undefined {
    return this.#info;
  }

  refreshInfo(): Promise<EngineInfo> {
    return this.#info ? Promise.resolve(this.#info) : Promise.reject(new KmsError('UNAVAILABLE', 'no engine'));
  }

  /** Sets which keys and CRSs the engine has, in the default epoch. */
  setKeys(
    keyIds: readonly string[],
    crsIds: readonly string[] = [],
    decompressionKeyIds: readonly string[] = [],
  ): void {
    const epochId = DEFAULT_EPOCH_ID;
    const key = (keyId: string, keyType: string) => ({
      keyId,
      epochId,
      result: { requestId: { requestId: keyId }, keyDigests: [{ keyType, digest: new Uint8Array(32) }] },
    });
    this.#info = create(EngineInfoSchema, {
      keys: [
        ...keyIds.map((id) => key(id, 'PublicKey')),
        ...decompressionKeyIds.map((id) => key(id, 'DecompressionKey')),
      ],
      crs: crsIds.map((crsId) => ({ crsId, epochId, result: { requestId: { requestId: crsId } } })),
      ...(this.#threshold && { threshold: this.#threshold }),
    });
  }

  /** Makes it the engine of a party, with these contexts and epochs; its keys stay. */
  setThreshold(threshold: ThresholdInit): void {
    this.#threshold = threshold;
    const { keys, crs } = this.#info ?? {};
    this.#info = create(EngineInfoSchema, { ...(keys && { keys }), ...(crs && { crs }), threshold });
  }

  /** Makes it an engine whose vault is gone: it waits to be restored. */
  loseVault(): void {
    this.#info = create(EngineInfoSchema, { awaitsRestore: true });
  }

  /** As before the first connection ever. */
  forgetInfo(): void {
    this.#info = undefined;
  }

  async call(method: number, body: Uint8Array, options: EngineCallOptions = {}): Promise<Uint8Array> {
    if (this.state === 'disconnected') throw new KmsError('UNAVAILABLE', 'the engine is down');
    this.calls.push({ method, body });
    const answer = this.answers.get(method);
    if (!answer) throw new KmsError('INTERNAL', 'the test has no answer');
    return await answer(body, options);
  }

  /** Changes the state of the connection. */
  become(state: 'connected' | 'disconnected'): void {
    this.state = state;
    for (const listener of this.#listeners) listener(state);
  }

  onState(listener: (state: 'connected' | 'disconnected') => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  whenConnected(signal?: AbortSignal): Promise<void> {
    if (this.state === 'connected') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const forget = this.onState((state) => {
        if (state !== 'connected') return;
        forget();
        resolve();
      });
      signal?.addEventListener('abort', () => reject(new KmsError('CANCELLED', 'stopping')), { once: true });
    });
  }

  async close(): Promise<void> {
    this.become('disconnected');
  }
}
