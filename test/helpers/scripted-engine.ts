/**
 * An engine that does what a test tells it to, on a real Unix socket: answers late, wrongly, out of order or not at
 * all. It knows frames and nothing else.
 */
import { mkdirSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../common/errors.ts';
import {
  CallErrorSchema,
  EngineInfoSchema,
  EngineStatusSchema,
  HelloSchema,
  ObjectEndSchema,
  ObjectStartSchema,
  ProgressSchema,
  type QuorumStatusSchema,
} from '../../proto/gen/engine_pb.js';
import { FrameDecoder } from '../../wire/frame-decoder.ts';
import {
  ENGINE_METHOD,
  encodeFrame,
  FRAME_KIND,
  type FrameKind,
  LINK_PROTOCOL_VERSION,
  MAX_CHUNK_BYTES,
  parseCallPayload,
} from '../../wire/frames.ts';
import { type Teardown, tempDir } from './temp-dir.ts';

/** A call as it arrived, and the ways to answer it. */
export interface ScriptedCall {
  readonly method: number;
  readonly body: Uint8Array;
  readonly callId: number;
  /** `core` or `core-bulk`. */
  readonly role: string;
  /** Resolves when the Core cancels the call. */
  readonly cancelled: Promise<void>;
  send(kind: Exclude<FrameKind, 1>, payload?: Uint8Array): void;
  result(body?: Uint8Array): void;
  fail(error: KmsError): void;
  progress(phase: string, fraction: number): void;
  /** Streams an object and resolves with `stored`, or with the Core's refusal. */
  object(object: {
    type: string;
    id: string;
    bytes: Uint8Array;
    digest: Uint8Array;
    replace?: boolean;
    sizeBytes?: number;
  }): Promise<'stored' | KmsError>;
}

/** What the engine is told to be. */
export interface Script {
  readonly hello?: { protocolVersion?: number; developerMode?: boolean; role?: string } | 'silent';
  readonly info?: MessageInitShape<typeof EngineInfoSchema>;
  /** What the engine says it is generating. */
  readonly generating?: string;
  /** What a party's engine says of its quorum. */
  readonly quorum?: MessageInitShape<typeof QuorumStatusSchema>;
  /** Whether governance has approved everything; on unless set. */
  readonly approves?: boolean;
  /** Answers every call but DESCRIBE, STATUS and approvals. */
  onCall?(call: ScriptedCall): void | Promise<void>;
}

/** Settings of {@link scriptedEngine}. */
export interface ScriptedEngineOptions {
  readonly socketPath?: string;
  /** Makes of each accepted socket the stream that is served; the socket itself if absent. */
  readonly accept?: (socket: Socket) => Promise<Duplex>;
}

/** A scripted engine that listens. */
export interface ScriptedEngine {
  readonly socketPath: string;
  /** The script in force; a test may change it. */
  script: Script;
  /** Roles of the connections that have greeted, in order. */
  readonly greeted: string[];
  /** Cuts all connections, as SIGKILL does, and stops listening. */
  kill(): Promise<void>;
  /** Listens again after a kill. */
  revive(): Promise<void>;
}

/** Starts a scripted engine that ends with the test. */
export async function scriptedEngine(
  t: Teardown,
  script: Script = {},
  { socketPath = join(tempDir(t), 'engine.sock'), accept }: ScriptedEngineOptions = {},
): Promise<ScriptedEngine> {
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
  const sockets = new Set<Socket>();
  const engine: ScriptedEngine = { socketPath, script, greeted: [], kill, revive };
  let server = createServer();

  async function kill(): Promise<void> {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }

  async function revive(): Promise<void> {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      if (accept)
        void accept(socket)
          .then((stream) => serve(stream, engine))
          .catch(() => socket.destroy());
      else serve(socket, engine);
    });
    await new Promise<void>((resolve) => {
      server.listen(socketPath, resolve);
    });
  }

  await revive();
  t.teardown(() => (server.listening ? kill() : undefined));
  return engine;
}

function serve(socket: Duplex, engine: ScriptedEngine): void {
  const decoder = new FrameDecoder();
  const calls = new Map<
    number,
    { cancelled: PromiseWithResolvers<void>; stored: PromiseWithResolvers<'stored' | KmsError> }
  >();
  let role = '';
  const send = (kind: Exclude<FrameKind, 1>, callId: number, payload?: Uint8Array): void => {
    for (const part of encodeFrame(kind, callId, payload)) socket.write(part);
  };
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Uint8Array) => {
    for (const { kind, callId, payload } of decoder.push(chunk)) {
      if (kind === FRAME_KIND.hello) {
        role = fromBinary(HelloSchema, payload).role;
        const { hello = {} } = engine.script;
        if (hello === 'silent') return;
        const mine = { protocolVersion: LINK_PROTOCOL_VERSION, developerMode: true, role: 'engine', ...hello };
        send(FRAME_KIND.hello, 0, toBinary(HelloSchema, create(HelloSchema, mine)));
        engine.greeted.push(role);
      } else if (kind === FRAME_KIND.call) {
        const { method, body } = parseCallPayload(payload);
        if (method === ENGINE_METHOD.describe) {
          const info = create(EngineInfoSchema, { version: 'scripted', developerMode: true, ...engine.script.info });
          send(FRAME_KIND.result, callId, toBinary(EngineInfoSchema, info));
          continue;
        }
        if (method === ENGINE_METHOD.requireApproval && engine.script.approves !== false) {
          send(FRAME_KIND.result, callId);
          continue;
        }
        if (method === ENGINE_METHOD.status) {
          const { generating = '', quorum } = engine.script;
          const status = create(EngineStatusSchema, { generating, ...(quorum && { quorum }) });
          send(FRAME_KIND.result, callId, toBinary(EngineStatusSchema, status));
          continue;
        }
        const state = {
          cancelled: Promise.withResolvers<void>(),
          stored: Promise.withResolvers<'stored' | KmsError>(),
        };
        calls.set(callId, state);
        void engine.script.onCall?.(scriptedCall({ method, body, callId, role, state, send }));
      } else if (kind === FRAME_KIND.cancel) calls.get(callId)?.cancelled.resolve();
      else if (kind === FRAME_KIND.objectStored) calls.get(callId)?.stored.resolve('stored');
      else if (kind === FRAME_KIND.error) {
        const { message } = fromBinary(CallErrorSchema, payload);
        calls.get(callId)?.stored.resolve(new KmsError('TASK_FAILED', message));
      }
    }
  });
}

function scriptedCall(parts: {
  method: number;
  body: Uint8Array;
  callId: number;
  role: string;
  state: { cancelled: PromiseWithResolvers<void>; stored: PromiseWithResolvers<'stored' | KmsError> };
  send: (kind: Exclude<FrameKind, 1>, callId: number, payload?: Uint8Array) => void;
}): ScriptedCall {
  const { state, callId } = parts;
  const send = (kind: Exclude<FrameKind, 1>, payload?: Uint8Array): void => parts.send(kind, callId, payload);
  return {
    method: parts.method,
    body: parts.body,
    callId,
    role: parts.role,
    cancelled: state.cancelled.promise,
    send,
    result: (body) => send(FRAME_KIND.result, body),
    fail: ({ code, message }) =>
      send(FRAME_KIND.error, toBinary(CallErrorSchema, create(CallErrorSchema, { code, message }))),
    progress: (phase, fraction) =>
      send(FRAME_KIND.progress, toBinary(ProgressSchema, create(ProgressSchema, { phase, fraction }))),
    object: async ({ type, id, bytes, digest, replace = false, sizeBytes = bytes.byteLength }) => {
      state.stored = Promise.withResolvers();
      const start = create(ObjectStartSchema, { type, id, replace, sizeBytes: BigInt(sizeBytes) });
      send(FRAME_KIND.objectStart, toBinary(ObjectStartSchema, start));
      for (let at = 0; at < bytes.byteLength; at += MAX_CHUNK_BYTES) {
        send(FRAME_KIND.objectChunk, bytes.subarray(at, at + MAX_CHUNK_BYTES));
      }
      send(FRAME_KIND.objectEnd, toBinary(ObjectEndSchema, create(ObjectEndSchema, { digest })));
      return await state.stored.promise;
    },
  };
}
