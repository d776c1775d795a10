/**
 * What the two kinds of nodes do differently: which operations they have, and what they hold.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { EngineInfoSchema, QuorumStatusSchema } from '../../proto/gen/engine_pb.js';
import type { EngineMethod } from '../../wire/frames.ts';
import type { CallHandler } from '../call.ts';
import type { FaultLedger } from '../threshold/fault-ledger.ts';

/** A kind of node, at work. */
export interface NodeWork {
  /** Handlers of the operations that it has. */
  readonly operations: Readonly<Partial<Record<EngineMethod, CallHandler>>>;
  /** Keys, CRSs and what else `describe` tells of them, as they are now. */
  material(): Omit<MessageInitShape<typeof EngineInfoSchema>, '$typeName'>;
  /** Name of the generation under way; empty when there is none. */
  generating(): string;
  /** How its quorums are; a centralized node has none. */
  quorum?(): MessageInitShape<typeof QuorumStatusSchema>;
  /** What other parties did wrong; a centralized node has none to watch. */
  readonly ledger?: Pick<FaultLedger, 'of'>;
  /** For the line that says that the engine is ready; nothing secret. */
  facts(): Readonly<Record<string, string | number | boolean>>;
}

/** Milliseconds on a 2-core machine; each process learns its own. */
export const FIRST_DURATIONS: Readonly<Record<string, number>> = {
  'keygen default compressed': 54_000,
  'keygen default uncompressed': 75_000,
  'keygen test compressed': 500,
  'keygen test uncompressed': 700,
  'decompression key default': 5_000,
  'crsgen default 2048': 8_500,
  'crsgen test 2048': 2_000,
};
