/**
 * `PublicDecrypt`, `UserDecrypt`, their `*Sync` forms and `Get…Result`. The hot path of the node.
 *
 * The body goes to the engine as it came and the engine's answer goes to the client as it came: decoded here is only
 * what early, clear errors need, as views. Spec: kms-service 1.5, 1.6.
 */
import { KmsError } from '../../../common/errors.ts';
import { PublicDecryptionRequestSchema, UserDecryptionRequestSchema } from '../../../proto/gen/kms_pb.js';
import { fheType } from '../../../wire/fhe-types.ts';
import { ENGINE_METHOD, type EngineMethod } from '../../../wire/frames.ts';
import type { RequestId } from '../../../wire/ids.ts';
import { parsePublicDecryption, parseUserDecryption } from '../../../wire/validate/decryption.ts';
import type { Outcome, RequestEntry } from '../store/request-store.ts';
import type { Background } from './background.ts';
import { bodyDigest, isDigestOf } from './body-digest.ts';
import { decodeCiphertexts } from './decode.ts';
import type { RpcDeps } from './deps.ts';
import type { KeyMaterial } from './key-material.ts';
import { EMPTY, noteId, type Rpc, type RpcCall } from './method.ts';
import { decodeId, requireRequest, responseOf, resultOf, settledWithin } from './results.ts';
import type { Topology } from './topology.ts';

/** Requests of unfinished decryptions may hold this much memory. */
const MAX_HELD_BYTES = 512 * 1024 * 1024;

/** What decryptions need beside the common things. */
export interface DecryptionDeps extends RpcDeps {
  readonly background: Background;
  readonly material: KeyMaterial;
  readonly topology: Topology;
}

/** What the Core must know of a decryption. */
interface Subject {
  readonly requestId: RequestId;
  readonly keyId: RequestId;
  readonly contextId: RequestId;
  readonly epochId: RequestId;
  readonly items: readonly { readonly fheType: number }[];
}

type Kind = 'public_decrypt' | 'user_decrypt';

/** The three RPCs of one kind of decryption. */
export interface DecryptionRpcs {
  readonly start: Rpc;
  readonly sync: Rpc;
  readonly result: Rpc;
}

/** The RPCs of public decryption. */
export function publicDecryptionRpcs(deps: DecryptionDeps): DecryptionRpcs {
  return decryptionRpcs(deps, 'public_decrypt', ENGINE_METHOD.publicDecrypt, (body, call) => {
    const message = decodeCiphertexts(PublicDecryptionRequestSchema, body);
    noteId(call, message.requestId);
    return parsePublicDecryption(message, deps.keccak);
  });
}

/** The RPCs of user decryption. */
export function userDecryptionRpcs(deps: DecryptionDeps): DecryptionRpcs {
  return decryptionRpcs(deps, 'user_decrypt', ENGINE_METHOD.userDecrypt, (body, call) => {
    const message = decodeCiphertexts(UserDecryptionRequestSchema, body);
    noteId(call, message.requestId);
    return parseUserDecryption(message, deps.keccak);
  });
}

function decryptionRpcs(
  deps: DecryptionDeps,
  kind: Kind,
  method: EngineMethod,
  parse: (body: Uint8Array, call: RpcCall) => Subject,
): DecryptionRpcs {
  const { store, background, waits, metrics, clock } = deps;
  const limited = kind === 'public_decrypt' ? 'pub_decrypt' : 'user_decrypt';
  const inner = `${kind}_inner` as const;
  const run = async (subject: Subject, entry: RequestEntry, body: Uint8Array, call: RpcCall): Promise<Outcome> => {
    const startedMs = clock.monotonicMs();
    metrics.operation(inner);
    try {
      const work = { entry, method, body, permit: call.takePermit(), releaseBody: call.keepBody() };
      const outcome = await background.run(work);
      if (outcome.state === 'failed') metrics.error(inner, new KmsError(outcome.code, outcome.reason));
      return outcome;
    } catch (error) {
      metrics.error(inner, error);
      throw error;
    } finally {
      metrics.observeMs(inner, clock.monotonicMs() - startedMs, typeOf(subject));
    }
  };

  return {
    start: {
      operation: `${kind}_request`,
      limited,
      async handle(body, call) {
        const subject = parse(body, call);
        const digest = bodyDigest(body);
        requireSame(store.find(kind, subject.requestId), digest, body);
        requireReady(deps, subject);
        const entry = store.begin({ kind, id: subject.requestId, digest, ...placeOf(subject) });
        const stored = store.acknowledge(entry, body);
        // Nobody waits for it: its outcome is stored, and what it throws means that the node stops.
        run(subject, entry, body, call).catch(() => undefined);
        await stored;
        return EMPTY;
      },
    },
    sync: {
      operation: `${kind}_request`,
      limited,
      async handle(body, call) {
        const subject = parse(body, call);
        const digest = bodyDigest(body);
        const known = store.find(kind, subject.requestId);
        requireSame(known, digest, body);
        if (known && known.state !== 'failed') return await resultOf(store, known, waits.resultMs, call.signal);
        requireReady(deps, subject);
        const entry = store.begin({ kind, id: subject.requestId, digest, ...placeOf(subject) });
        const work = run(subject, entry, body, call);
        const ended = await settledWithin(work, waits.resultMs + waits.lastWordMs, call.signal);
        if (!ended) throw new KmsError('UNAVAILABLE', 'the request is still running');
        return responseOf(await work);
      },
    },
    result: {
      operation: `${kind}_result`,
      async handle(body, call) {
        const entry = requireRequest(store, kind, decodeId(body, call));
        return await resultOf(store, entry, waits.resultMs, call.signal);
      },
    },
  };
}

/** The type of all ciphertexts as a label, `euint64`: absent if they differ. */
function typeOf({ items }: Subject): string | undefined {
  const [first] = items;
  if (!first || items.some((item) => item.fheType !== first.fheType)) return undefined;
  const type = fheType(first.fheType);
  return type && `e${type.name.toLowerCase()}`;
}

/** While a request is remembered, its id stands for it alone. */
function requireSame(known: RequestEntry | undefined, digest: string, body: Uint8Array): void {
  if (known && !isDigestOf(known.digest, digest, body)) {
    throw new KmsError('ALREADY_EXISTS', 'another request has this id', { id: known.id });
  }
}

function requireReady({ engine, topology, material, background }: DecryptionDeps, subject: Subject): void {
  if (engine.info() === undefined) throw engineAway(engine.reason);
  topology.require(subject.contextId, subject.epochId);
  material.requireKey(subject.keyId, subject.epochId);
  if (engine.state !== 'connected') throw engineAway(engine.reason);
  if (background.heldBytes > MAX_HELD_BYTES) {
    throw new KmsError('RESOURCE_EXHAUSTED', 'too many bytes of requests are waiting for the engine');
  }
}

/** The error for whatever needs the engine while it is away. */
export function engineAway(reason: string | undefined): KmsError {
  return new KmsError('UNAVAILABLE', `the engine is not connected: ${reason ?? 'starting'}`);
}

function placeOf({ contextId, epochId }: Subject): { contextId: string; epochId: string } {
  return { contextId, epochId };
}
