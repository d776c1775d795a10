/**
 * The Core's gRPC server: the client service, the request status service and health, on one port.
 *
 * Holds no secret. Whoever boots the node opens what comes in here, calls `recover`, and closes it first when stopping.
 */
import type { Duplex } from 'node:stream';
import type { Listening } from '../../attestation/mesh/transport.ts';
import { unixTransport } from '../../attestation/mesh/transport-unix.ts';
import { KmsError } from '../../common/errors.ts';
import { Health as HealthService } from '../../proto/gen/health_pb.js';
import { ADMIN_SOCKET } from '../grpc/caller.ts';
import { type GrpcLimits, type GrpcMethods, openGrpcServer } from '../grpc/server.ts';
import type { TlsSource } from '../grpc/tls-source.ts';
import { type AllowLists, createAuthorizer } from './admin/access.ts';
import { type AdminDeps, adminMethods } from './admin/admin-service.ts';
import { attestWith } from './admin/attest.ts';
import { refusalLog } from './admin/refusal-log.ts';
import type { Health } from './health.ts';
import { DEFAULT_WAITS, type RpcDeps, type Waits } from './rpc/deps.ts';
import { healthCheck, healthWatch } from './rpc/health-service.ts';
import { createCoreService } from './rpc/service.ts';

/** What a Core needs. */
export interface CoreDeps extends Omit<RpcDeps, 'stopping' | 'waits'> {
  /** Reasons not to serve beside the Core's own, such as public objects that do not match. */
  readonly health: Health;
  /** What the engine complained of last while it starts, for people. */
  readonly engineTrouble?: (() => string | undefined) | undefined;
  readonly listen: { readonly host: string; readonly port: number };
  /** Certificates of the client port; plaintext without. */
  readonly tls?: TlsSource | undefined;
  /** Subjects of client certificates that may act, by group of RPCs. */
  readonly allow?: AllowLists | undefined;
  /** Path of the local admin socket; none without. */
  readonly adminSocketPath?: string | undefined;
  /** What the admin service is told of the Core's own mesh, and tells it. */
  readonly admin?: Partial<Pick<AdminDeps, 'attest' | 'corePeers' | 'onGovernance'>> | undefined;
  readonly limits?: Partial<GrpcLimits>;
  readonly waits?: Waits;
}

/** A Core that listens. */
export interface Core {
  /** Where clients reach it; as configured while it does not listen. */
  readonly address: { readonly host: string; readonly port: number };
  /**
   * Opens the port for clients, unless it is open: that of a centralized node is from the start, so that clients and
   * probes get an answer; that of a threshold node opens once all parties can serve.
   *
   * @throws {@link KmsError} `STATE_INVALID` naming the port if it is taken.
   */
  listen(): Promise<void>;
  /** Serves a stream whose other end the mesh has verified. */
  inject(stream: Duplex, peer: { readonly role: string; readonly party: number }): void;
  /**
   * Takes up what the last run left: acknowledged decryptions are done again, interrupted generations settled.
   *
   * Waits for the engine. Health stays NOT_SERVING until it is done. Rejects if the node stops meanwhile.
   */
  recover(): Promise<void>;
  /** Reasons why the Core itself does not serve; empty when it does. */
  reasons(): readonly string[];
  /** Calls that have not ended. */
  readonly callsInFlight: number;
  /** Takes no more calls, lets those under way end, then leaves what still runs to the next start. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts a Core: on its admin socket, and on the port for clients unless it is a threshold node's.
 *
 * @throws {@link KmsError} `STATE_INVALID` naming the port if it is taken.
 */
export async function startCore(deps: CoreDeps): Promise<Core> {
  const { engine, health, listen, limits = {}, log, waits = DEFAULT_WAITS } = deps;
  const draining = new AbortController();
  const stopping = new AbortController();
  const service = createCoreService({ ...deps, waits, stopping: stopping.signal });
  let recovered = false;

  const reasons = (): string[] => {
    if (draining.signal.aborted) return ['the node is stopping'];
    if (engine.state !== 'connected') {
      const trouble = deps.engineTrouble?.();
      const why = trouble === undefined ? [] : [`the engine is not up yet; it said last: ${trouble}`];
      return [`the engine is not connected: ${engine.reason ?? 'starting'}`, ...why];
    }
    const tls = deps.tls?.reasons?.() ?? [];
    return recovered ? [...tls] : ['requests of the last run are being taken up', ...tls];
  };
  const all: Health = { reasons: () => [...reasons(), ...health.reasons()] };
  const methods: GrpcMethods = new Map([
    ...service.methods,
    [`/${HealthService.typeName}/Check`, healthCheck(all)],
    [`/${HealthService.typeName}/Watch`, healthWatch(all, draining.signal)],
    ...adminMethods({ engine, attest: attestWith(engine), log, onRestored: deps.onRestored, ...deps.admin }),
  ]);
  const server = openGrpcServer({
    methods,
    limits,
    clock: deps.clock,
    authorize: createAuthorizer({ developerMode: deps.insecure, allow: deps.allow ?? {} }, log),
    onFault: (error, path) => log.error({ event: 'grpc.fault', path, err: error }),
    onRefused: refusalLog(log, deps.clock),
  });
  let address = listen;
  let listening: Promise<void> | undefined;
  const open = async (): Promise<void> => {
    if (draining.signal.aborted) throw new KmsError('CANCELLED', 'the node is stopping');
    address = await server.listen(listen.host, listen.port, deps.tls);
  };
  const listenOnce = (): Promise<void> => {
    listening ??= open();
    return listening;
  };
  if (!deps.threshold) await listenOnce();
  let adminSocket: Listening | undefined;
  try {
    if (deps.adminSocketPath !== undefined) {
      const transport = unixTransport(deps.adminSocketPath);
      adminSocket = await transport.listen((stream) => server.inject(stream, ADMIN_SOCKET));
    }
  } catch (error) {
    await server.close(0);
    throw error;
  }

  return {
    get address() {
      return address;
    },
    listen: listenOnce,
    inject: (stream, { role, party }) => server.inject(stream, { kind: 'mesh', role, party }),
    async recover() {
      await service.recover();
      recovered = true;
    },
    reasons,
    get callsInFlight() {
      return server.callsInFlight;
    },
    async close(graceMs = 5000) {
      draining.abort();
      await adminSocket?.close();
      await listening?.catch(() => undefined); // whoever asked for it hears of it
      await server.close(graceMs);
      stopping.abort();
    },
  };
}
