/**
 * Changes that governance has to sign: the engine is asked before any of them takes effect. Design §3.
 *
 * The Core only passes the question on: what was approved stands in the engine's own memory, which no operator edits.
 */
import { hash } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { ApprovalCallSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { RpcDeps } from './deps.ts';

/** Changes that RPCs ask for, by the kind of their proposals. */
export type GovernedChange = 'context' | 'epoch' | 'custodian-context';

/**
 * Returns once the engine holds governance's approval of this very request.
 *
 * @param body - The request as it came; the proposal names its SHA-384.
 * @throws KmsError `APPROVAL_MISSING` naming the digest of the proposal that is to be signed; `UNAVAILABLE`.
 */
export async function requireApproval(
  { engine, engineTimeoutMs }: Pick<RpcDeps, 'engine' | 'engineTimeoutMs'>,
  kind: GovernedChange,
  body: Uint8Array,
): Promise<void> {
  const digest = hash('sha384', body, 'buffer');
  const call = toBinary(ApprovalCallSchema, create(ApprovalCallSchema, { kind, digest }));
  await engine.call(ENGINE_METHOD.requireApproval, call, { timeoutMs: engineTimeoutMs });
}
