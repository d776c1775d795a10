/**
 * A small mesh in one process: parties with keys, attesters and a view that a test may change, and ways to connect two
 * endpoints over a Unix socket or TCP.
 *
 * @example
 * const mesh = createTestMesh(t);
 * const [core, engine] = await connectPair(t, await mesh.endpoint('core'), await mesh.endpoint('engine'));
 */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import type { Attester } from '../../attestation/attester/attester.ts';
import { type DeveloperRootKey, makeDeveloperRoot } from '../../attestation/developer/chain.ts';
import { extendedPcr, zeroPcr } from '../../attestation/developer/registers.ts';
import type { Measurement, TrustAnchor } from '../../attestation/document/index.ts';
import { acceptMesh } from '../../attestation/mesh/accept.ts';
import { connectMesh } from '../../attestation/mesh/connect.ts';
import { openMeshEndpoint } from '../../attestation/mesh/endpoint.ts';
import { certifyIdentity } from '../../attestation/mesh/identity.ts';
import type {
  MeshConnection,
  MeshEndpoint,
  MeshIdentity,
  MeshLimits,
  MeshSelf,
  MeshView,
  PartyView,
  PeerExpectation,
} from '../../attestation/mesh/mesh-context.ts';
import { ROLES, type Role, type Service } from '../../attestation/role.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import { createLogger, type Logger } from '../../common/log.ts';
import { type RawTransport, rawPair } from './raw-pair.ts';
import { platformOf, startTestAttester, type TestAttester, testPcrs } from './software-nsm.ts';
import type { Teardown } from './temp-dir.ts';

/** A party's node key and mesh key, made from its number. */
export interface TestParty {
  readonly party: number;
  readonly address: Uint8Array;
  readonly identity: MeshIdentity;
  readonly charterDigest: Uint8Array;
  readonly instanceId: string;
}

/** What a test may change about an endpoint. */
export interface TestEndpointOptions {
  readonly party?: number;
  readonly incarnation?: number;
  readonly attester?: Partial<Parameters<typeof startTestAttester>[0]>;
  /** Put between the endpoint and its attester: to fail, to delay, to lie. */
  readonly wrap?: (attester: Attester) => Attester;
  readonly self?: Partial<MeshSelf>;
  readonly view?: MeshView;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly limits?: Partial<MeshLimits>;
}

/** A view that a test changes by writing its fields and calling `changed`. */
export interface TestView extends MeshView {
  parties: PartyView[];
  allowed: Measurement[];
  contextId: Uint8Array;
  changed(): void;
}

/** One endpoint and what it was made of. */
export interface TestEndpoint extends MeshEndpoint {
  readonly attesterOf: TestAttester;
}

/** A network of parties that trust each other. */
export interface TestMesh {
  readonly root: DeveloperRootKey;
  readonly anchor: TrustAnchor;
  readonly network: string;
  readonly parties: readonly TestParty[];
  /** The view that endpoints share unless they are given another. */
  readonly view: TestView;
  makeView(change?: Partial<Pick<TestView, 'parties' | 'allowed' | 'contextId' | 'anchor' | 'network'>>): TestView;
  /** Opens an endpoint of party 1 unless the options say another; it is closed with the test. */
  endpoint(role: Role, options?: TestEndpointOptions): Promise<TestEndpoint>;
}

/** Settings of {@link createTestMesh}. */
export interface TestMeshOptions {
  readonly parties?: number;
  readonly network?: string;
  readonly root?: DeveloperRootKey;
  readonly clock?: Clock;
}

/** Makes a network; nothing runs until an endpoint is opened. */
export async function createTestMesh(t: Teardown, options: TestMeshOptions = {}): Promise<TestMesh> {
  const { network = 'dev:test', clock = systemClock } = options;
  // A day old, so that endpoints whose clocks are behind find it valid.
  const root = options.root ?? makeDeveloperRoot({ nowMs: clock.nowMs() - 86_400_000 });
  const anchor = { name: 'test root', certificate: root.certificate };
  const parties = await Promise.all(
    Array.from({ length: options.parties ?? 2 }, (_, index) => makeTestParty(network, index + 1)),
  );
  const makeView: TestMesh['makeView'] = (change) =>
    makeTestView({ anchor, network, parties: parties.map(viewOf), allowed: measurements(), ...change });
  const view = makeView();
  const endpoint: TestMesh['endpoint'] = async (role, given = {}) => {
    const party = parties[(given.party ?? 1) - 1] ?? (await makeTestParty(network, given.party ?? 1));
    const attester = await startTestAttester({
      role,
      root,
      instanceId: party.instanceId,
      clock: given.clock ?? clock,
      ...(role === 'engine' ? { charterDigest: party.charterDigest } : {}),
      ...given.attester,
    });
    const opened = await openMeshEndpoint({
      self: makeTestSelf(role, party, network, attester, given),
      view: given.view ?? view,
      clock: given.clock ?? clock,
      log: given.log ?? createLogger({ name: 'test', level: 'silent' }),
      ...(given.limits === undefined ? {} : { limits: given.limits }),
    });
    t.teardown(() => opened.close());
    return Object.assign(opened, { attesterOf: attester });
  };
  return { root, anchor, network, parties, view, makeView, endpoint };
}

/** Returns what a release set named `test` lists: one measurement for each role. */
export function measurements(release = 'test'): Measurement[] {
  return ROLES.map((role) => ({ release, role, platform: platformOf(role), pcrs: testPcrs(role, release) }));
}

/** Makes the keys of a party; equal arguments make equal keys. */
export async function makeTestParty(network: string, party: number, seed = 'test party'): Promise<TestParty> {
  const digest = (label: string): Uint8Array => createHash('sha256').update(`${seed} ${party} ${label}`).digest();
  const nodeKey = digest('node key');
  const identity = await makeTestIdentity(network, party, digest('mesh key'), nodeKey);
  return {
    party,
    address: keccak_256(secp256k1.getPublicKey(nodeKey, false).subarray(1)).slice(12),
    identity,
    charterDigest: createHash('sha384').update(`charter of ${network} party ${party}`).digest(),
    instanceId: `i-${String(party).padStart(17, '0')}`,
  };
}

/** Makes a mesh key that a node key certifies for a party. */
export async function makeTestIdentity(
  network: string,
  party: number,
  seed: Uint8Array,
  nodeKey: Uint8Array,
): Promise<MeshIdentity> {
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const key = Uint8Array.from(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).subarray(-32));
  const certificate = await certifyIdentity({ network, party, purpose: 'mesh', key }, (digest) => {
    const [v = 0, ...rs] = secp256k1.sign(digest, nodeKey, { prehash: false, format: 'recovered' });
    return Uint8Array.from([...rs, v]);
  });
  return { publicKey: key, certificate, sign: (data) => sign(null, data, privateKey) };
}

/** Returns what the others expect of a party. */
export function viewOf({ party, address, charterDigest }: TestParty): PartyView {
  return { party, address, pcr16: extendedPcr(zeroPcr(), charterDigest), minIncarnation: 0 };
}

function makeTestView(
  fields: Pick<TestView, 'anchor' | 'network' | 'parties' | 'allowed'> & Partial<TestView>,
): TestView {
  const listeners = new Set<() => void>();
  const view: TestView = {
    contextId: new Uint8Array(32).fill(7),
    ...fields,
    context: () => view.contextId,
    party: (party) => view.parties.find((known) => known.party === party),
    measurements: () => view.allowed,
    noteIncarnation: (party, incarnation) => {
      view.parties = view.parties.map((known) =>
        known.party === party && incarnation > known.minIncarnation ? { ...known, minIncarnation: incarnation } : known,
      );
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    changed: () => {
      for (const listener of listeners) listener();
    },
  };
  return view;
}

function makeTestSelf(
  role: Role,
  party: TestParty,
  network: string,
  attester: TestAttester,
  { incarnation = 1, wrap, self }: TestEndpointOptions,
): MeshSelf {
  return {
    role,
    party: party.party,
    network,
    context: new Uint8Array(32).fill(7),
    incarnation,
    moduleId: attester.moduleId,
    attester: wrap ? wrap(attester.nsm) : attester.nsm,
    identity: role === 'engine' ? party.identity : undefined,
    hello: () => ({
      releaseSetVersion: 1,
      recordVersion: 1,
      keyPolicyHash: new Uint8Array(48),
      manifestVersion: 0,
      manifestHead: new Uint8Array(),
      identityCertificate: role === 'engine' ? party.identity.certificate : undefined,
    }),
    ...self,
  };
}

/** Returns what a role expects of the other side of a service. */
export function expectation(service: Service, role: Role, more: Partial<PeerExpectation> = {}): PeerExpectation {
  return { service, role, ...more };
}

/** What is between two endpoints of {@link connectPair}; derived from the client's role if absent. */
export interface PairOptions {
  readonly transport?: RawTransport;
  readonly service?: Service;
  readonly signal?: AbortSignal;
}

const SERVICE_OF: Readonly<Record<Role, Service>> = {
  core: 'engine-calls',
  connector: 'core-grpc',
  engine: 'engine-data',
};

/** Runs both sides of a handshake to their ends, whatever those are. */
export async function tryPair(
  t: Teardown,
  client: MeshEndpoint,
  server: MeshEndpoint,
  options: PairOptions = {},
): Promise<readonly [PromiseSettledResult<MeshConnection>, PromiseSettledResult<MeshConnection>]> {
  const service = options.service ?? SERVICE_OF[client.self.role];
  const signal = options.signal ?? new AbortController().signal;
  const [near, far] = await rawPair(t, options.transport);
  return Promise.allSettled([
    connectMesh(near, client, expectation(service, server.self.role), signal),
    acceptMesh(far, server, expectation(service, client.self.role), signal),
  ]);
}

/** Connects two endpoints, the client's connection first. Fails with the first refusal. */
export async function connectPair(
  t: Teardown,
  client: MeshEndpoint,
  server: MeshEndpoint,
  options: PairOptions = {},
): Promise<readonly [MeshConnection, MeshConnection]> {
  const [near, far] = await tryPair(t, client, server, options);
  if (near.status === 'rejected') throw near.reason;
  if (far.status === 'rejected') throw far.reason;
  return [near.value, far.value];
}
