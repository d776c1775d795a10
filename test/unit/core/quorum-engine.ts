/**
 * The scripted engine of one party: it keeps contexts and epochs as a real one does, and says so when asked.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ReachCallSchema, ReachResultSchema } from '../../../proto/gen/engine_pb.js';
import {
  DestroyMpcContextRequestSchema,
  DestroyMpcContextResponseSchema,
  DestroyMpcEpochRequestSchema,
  NewMpcContextRequestSchema,
  NewMpcEpochRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { ScriptedEngine } from './scripted-engine.ts';

/** A context of n parties, of which this node is number 1. */
export interface ScriptedContext {
  readonly contextId: string;
  readonly threshold: number;
  readonly party: number;
  readonly nodes: { party: number; endpoint: string }[];
}

/** See the file comment. */
export class QuorumEngine extends ScriptedEngine {
  readonly contexts = new Map<string, ScriptedContext>();
  /** Context of each epoch. */
  readonly epochs = new Map<string, string>();
  settled = true;
  awaitsGovernance = false;
  /** Parties that do not answer. */
  readonly silent = new Set<number>();
  readonly #parties: number;

  constructor(parties = 4) {
    super();
    this.#parties = parties;
    this.contexts.set(DEFAULT_CONTEXT_ID, this.#context(DEFAULT_CONTEXT_ID));
    this.epochs.set(DEFAULT_EPOCH_ID, DEFAULT_CONTEXT_ID);
    this.answers.set(ENGINE_METHOD.newContext, (body) => this.#newContext(body));
    this.answers.set(ENGINE_METHOD.destroyContext, (body) => this.#destroyContext(body));
    this.answers.set(ENGINE_METHOD.newEpoch, (body) => this.#newEpoch(body));
    this.answers.set(ENGINE_METHOD.destroyEpoch, (body) => this.#destroyEpoch(body));
    this.answers.set(ENGINE_METHOD.reach, (body) => this.#reach(body));
    this.answers.set(ENGINE_METHOD.bandwidth, () => new Uint8Array());
    this.describeAgain();
  }

  /** Makes what it holds its description. */
  describeAgain(): void {
    this.setThreshold({
      party: 1,
      contexts: [...this.contexts.values()],
      epochs: [...this.epochs].map(([epochId, contextId]) => ({ epochId, contextId })),
      settled: this.settled,
      awaitsGovernance: this.awaitsGovernance,
    });
  }

  override refreshInfo(): ReturnType<ScriptedEngine['refreshInfo']> {
    this.describeAgain();
    return super.refreshInfo();
  }

  #context(contextId: string): ScriptedContext {
    const nodes = Array.from({ length: this.#parties }, (_, at) => ({
      party: at + 1,
      endpoint: `127.0.0.1:${50_001 + 100 * at}`,
    }));
    return { contextId, threshold: (this.#parties - 1) / 3, party: 1, nodes };
  }

  #newContext(body: Uint8Array): Uint8Array {
    const id = fromBinary(NewMpcContextRequestSchema, body).newContext?.contextId?.requestId ?? '';
    this.contexts.set(id, this.#context(id));
    return new Uint8Array();
  }

  #destroyContext(body: Uint8Array): Uint8Array {
    const id = fromBinary(DestroyMpcContextRequestSchema, body).contextId?.requestId ?? '';
    const gone = [...this.epochs].flatMap(([epochId, contextId]) => (contextId === id ? [epochId] : []));
    for (const epochId of gone) this.epochs.delete(epochId);
    this.contexts.delete(id);
    const response = { epochIds: gone.map((requestId) => ({ requestId })) };
    return toBinary(DestroyMpcContextResponseSchema, create(DestroyMpcContextResponseSchema, response));
  }

  #newEpoch(body: Uint8Array): Uint8Array {
    const { epochId, contextId } = fromBinary(NewMpcEpochRequestSchema, body);
    this.epochs.set(epochId?.requestId ?? '', contextId?.requestId ?? DEFAULT_CONTEXT_ID);
    return new Uint8Array();
  }

  #destroyEpoch(body: Uint8Array): Uint8Array {
    this.epochs.delete(fromBinary(DestroyMpcEpochRequestSchema, body).epochId?.requestId ?? '');
    return new Uint8Array();
  }

  #reach(body: Uint8Array): Uint8Array {
    const { contextId } = fromBinary(ReachCallSchema, body);
    const parties = (this.contexts.get(contextId)?.nodes ?? [])
      .filter(({ party }) => party !== 1)
      .map(({ party, endpoint }) => {
        const reachable = !this.silent.has(party);
        return { party, endpoint, reachable, latencyMs: 3, error: reachable ? '' : 'no answer within 2 s' };
      });
    return toBinary(ReachResultSchema, create(ReachResultSchema, { parties }));
  }
}
