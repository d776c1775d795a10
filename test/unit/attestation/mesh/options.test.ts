/**
 * No set of options connects to somebody who is not verified: properties over generated limits, expectations and views.
 */
import { createPublicKey } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { makeDeveloperRoot } from '../../../../attestation/developer/chain.ts';
import type { Measurement } from '../../../../attestation/document/index.ts';
import { acceptMesh } from '../../../../attestation/mesh/accept.ts';
import { connectMesh } from '../../../../attestation/mesh/connect.ts';
import { openMeshEndpoint } from '../../../../attestation/mesh/endpoint.ts';
import { readLeafCertificate } from '../../../../attestation/mesh/leaf-certificate.ts';
import type { MeshEndpoint, MeshLimits, MeshView, PeerExpectation } from '../../../../attestation/mesh/mesh-context.ts';
import { encodeProof } from '../../../../attestation/mesh/proof.ts';
import { ROLES, SERVICES } from '../../../../attestation/role.ts';
import { createTestMesh, measurements, type TestEndpointOptions } from '../../../helpers/mesh-pair.ts';
import { rawPair } from '../../../helpers/raw-pair.ts';
import { testPcrs } from '../../../helpers/software-nsm.ts';
import { forgeLeaf, forgeProof, sendProof } from './adversary.ts';
import { attack, outcome, SIGNAL, stage } from './scene.ts';

const RUNS = 60;
const limit = (most: number) => fc.integer({ min: 1, max: most });

const limits: fc.Arbitrary<Partial<MeshLimits>> = fc.record(
  {
    handshakeTimeoutMs: fc.integer({ min: 2_000, max: 60_000 }),
    attestTimeoutMs: fc.integer({ min: 2_000, max: 60_000 }),
    maxProofAgeMs: limit(60_000),
    maxSkewMs: limit(60_000),
    maxLeafBytes: limit(32_768),
    maxMessageBytes: limit(32_768),
  },
  { requiredKeys: [] },
);

const expectations: fc.Arbitrary<PeerExpectation> = fc.record(
  {
    service: fc.constantFrom(...SERVICES),
    role: fc.oneof(fc.constantFrom(...ROLES), fc.subarray([...ROLES])),
    party: fc.integer({ min: 0, max: 3 }),
    sameInstance: fc.boolean(),
  },
  { requiredKeys: ['service', 'role'] },
);

/** Measurements that trust nobody who is there: none, empty, zero, short, of other roles or platforms. */
const emptyTrust: fc.Arbitrary<Measurement[]> = fc.array(
  fc.record({
    release: fc.constantFrom('test', ''),
    platform: fc.constantFrom('enclave', 'nitro-tpm'),
    role: fc.constantFrom(...ROLES),
    pcrs: fc.constantFrom(
      new Map<number, Uint8Array>(),
      new Map([0, 1, 2, 4, 7].map((index) => [index, new Uint8Array(48)])),
      new Map([0, 1, 2, 4, 7].map((index) => [index, new Uint8Array()])),
      new Map([[0, testPcrs('engine').get(0) ?? new Uint8Array()]]),
      new Map([...testPcrs('engine')].slice(0, 2)),
    ),
  }),
  { maxLength: 4 },
);

/** Runs both sides with one endpoint's options generated; returns what that side and the other found. */
async function meet(
  client: { endpoint: MeshEndpoint; expect: PeerExpectation },
  server: { endpoint: MeshEndpoint; expect: PeerExpectation },
): Promise<readonly string[]> {
  const cleanups: (() => unknown)[] = [];
  const [near, far] = await rawPair({ teardown: (clean) => cleanups.push(clean) }, 'tcp');
  try {
    return await Promise.all([
      outcome(connectMesh(near, client.endpoint, client.expect, SIGNAL)),
      outcome(acceptMesh(far, server.endpoint, server.expect, SIGNAL)),
    ]);
  } finally {
    for (const clean of cleanups) clean();
  }
}

/** The same endpoint with other limits and another view. */
const withOptions = (base: MeshEndpoint, given: Partial<MeshLimits>, view: MeshView): MeshEndpoint => ({
  self: base.self,
  view,
  clock: base.clock,
  log: base.log,
  limits: { ...base.limits, ...given },
  chains: base.chains,
  leaf: () => base.leaf(),
  health: () => base.health(),
  connections: () => base.connections(),
  adopt: (connection) => base.adopt(connection),
  tick: () => base.tick(),
  close: () => base.close(),
});

t.test('no options connect to an endpoint that is wrong', async (t) => {
  const mesh = await createTestMesh(t, { parties: 3 });
  const root = makeDeveloperRoot({ nowMs: Date.now() - 86_400_000 });
  const foreign = mesh.makeView({ anchor: { name: 'other', certificate: root.certificate } });
  const wrongs: readonly TestEndpointOptions[] = [
    { attester: { pcrs: testPcrs('engine', 'unknown') } },
    { attester: { pcrs: new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)])) } },
    { attester: { root }, view: foreign },
    { attester: { charterDigest: new Uint8Array(48) } },
  ];
  const makers = await Promise.all(wrongs.map((options) => mesh.endpoint('engine', { party: 2, ...options })));
  const clients = [await mesh.endpoint('engine'), await mesh.endpoint('core', { party: 2 })];
  const anybody = mesh.makeView({ allowed: [...measurements(), ...measurements('unknown')] });
  await fc.assert(
    fc.asyncProperty(limits, expectations, fc.nat(3), fc.nat(1), async (given, expect, which, who) => {
      const [wrong, right] = [makers[which], clients[who]];
      if (!wrong || !right) throw new Error('they are there');
      const far = withOptions(wrong, {}, anybody);
      const theirs: PeerExpectation = { service: expect.service, role: right.self.role };
      const near = withOptions(right, given, mesh.view);
      const found = await meet({ endpoint: near, expect }, { endpoint: far, expect: theirs });
      return found.every((result) => result !== 'accepted');
    }),
    { numRuns: RUNS },
  );
  t.pass('never');
});

t.test('no view that trusts nobody connects to anybody, whatever the options', async (t) => {
  const mesh = await createTestMesh(t, { parties: 2 });
  const [near, far] = [await mesh.endpoint('engine'), await mesh.endpoint('engine', { party: 2 })];
  const ours = { service: 'engine-data', role: 'engine' } as const;
  await fc.assert(
    fc.asyncProperty(limits, emptyTrust, fc.boolean(), async (given, allowed, isClient) => {
      const empty = { endpoint: withOptions(far, given, mesh.makeView({ allowed })), expect: ours };
      const right = { endpoint: near, expect: ours };
      const found = await (isClient ? meet(empty, right) : meet(right, empty));
      return found.every((result) => result !== 'accepted');
    }),
    { numRuns: RUNS },
  );
  const found = await meet({ endpoint: near, expect: ours }, { endpoint: far, expect: ours });
  t.same(found, ['accepted', 'accepted'], 'the same two connect when they trust each other');
});

t.test('options connect two right endpoints only where role, service and party fit', async (t) => {
  const mesh = await createTestMesh(t, { parties: 2 });
  const [near, far] = [await mesh.endpoint('engine'), await mesh.endpoint('engine', { party: 2 })];
  await fc.assert(
    fc.asyncProperty(expectations, async (expect) => {
      const theirs = { service: 'engine-data', role: 'engine' } as const;
      const found = await meet({ endpoint: near, expect }, { endpoint: far, expect: theirs });
      const fits =
        expect.service === 'engine-data' &&
        [expect.role].flat().includes('engine') &&
        (expect.party ?? 2) === 2 &&
        expect.sameInstance !== true; // the parties of this test live on two instances
      return found.every((result) => (result === 'accepted') === fits);
    }),
    { numRuns: RUNS },
  );
  t.pass('and never elsewhere');
});

t.test('no single changed byte of a proof or of a leaf is accepted', async (t) => {
  const scene = await stage(t);
  const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
  const flipped = (bytes: Uint8Array, [at, by]: readonly [number, number]): Uint8Array => {
    const changed = Uint8Array.from(bytes);
    changed[at % bytes.length] = (changed[at % bytes.length] ?? 0) ^ by;
    return changed;
  };
  const good = await forgeLeaf({ self: scene.evil.self });
  const keys = { privateKey: good.privateKey, publicKey: createPublicKey(good.privateKey) };
  const { payload } = readLeafCertificate(good.der);
  t.equal(await attack(t, scene, { keys, payload }), 'accepted', 'unchanged it is');
  await fc.assert(
    fc.asyncProperty(change, async (where) => {
      const inProof = await attack(t, scene, {}, async (intruder, leaf) =>
        sendProof(intruder, flipped(encodeProof(await forgeProof(scene.evil.self, leaf, intruder)), where)),
      );
      const inLeaf = await attack(t, scene, { keys, payload: flipped(payload, where) });
      return inProof !== 'accepted' && inLeaf !== 'accepted';
    }),
    { numRuns: RUNS },
  );
});

t.test('limits beyond what the design fixes are refused when an endpoint is opened', async (t) => {
  const mesh = await createTestMesh(t);
  const { self, view, clock, log } = await mesh.endpoint('engine');
  const beyond: readonly Partial<MeshLimits>[] = [
    { maxSkewMs: 60_001 },
    { maxProofAgeMs: 60_001 },
    { maxProofAgeMs: Number.POSITIVE_INFINITY },
    { maxSkewMs: Number.NaN },
    { handshakeTimeoutMs: 0 },
    { maxLeafBytes: 40_000 },
    { maxMessageBytes: -1 },
  ];
  for (const limits of beyond) {
    await t.rejects(openMeshEndpoint({ self, view, clock, log, limits }), { code: 'CONFIG_INVALID' });
  }
  const other = { ...self, network: 'dev:other' };
  await t.rejects(openMeshEndpoint({ self: other, view, clock, log }), { code: 'CONFIG_INVALID' }, 'another network');
  const keyless = { ...self, identity: undefined };
  await t.rejects(openMeshEndpoint({ self: keyless, view, clock, log }), { code: 'CONFIG_INVALID' }, 'no mesh key');
});
