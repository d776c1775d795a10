/** An engine that has lost its vault, and with it the party's key: whom it may speak to until it is restored. */
import t from 'tap';
import type { MeshSelf } from '../../../../attestation/mesh/mesh-context.ts';
import { connectPair, createTestMesh, type TestMesh, tryPair } from '../../../helpers/mesh-pair.ts';
import { reasonsOf } from './scene.ts';

const KEYLESS: Partial<MeshSelf> = {
  identity: undefined,
  awaitsRestore: true,
  incarnation: 0,
  hello: () => ({
    releaseSetVersion: 1,
    recordVersion: 1,
    keyPolicyHash: new Uint8Array(48),
    manifestVersion: 0,
    manifestHead: new Uint8Array(),
    identityCertificate: undefined,
  }),
};

const keyless = (mesh: TestMesh, party = 1) => mesh.endpoint('engine', { party, self: KEYLESS });

t.test('an engine without a party key is accepted by the Core of its own instance, as nobody', async (t) => {
  const mesh = await createTestMesh(t);
  const [atCore] = await connectPair(t, await mesh.endpoint('core'), await keyless(mesh));
  t.equal(atCore.peer.address, undefined);
  t.equal(atCore.peer.role, 'engine');
});

t.test('the starts that its predecessor counted do not keep it out', async (t) => {
  const mesh = await createTestMesh(t);
  const core = await mesh.endpoint('core');
  await connectPair(t, core, await mesh.endpoint('engine', { incarnation: 5 }));
  const [atCore] = await connectPair(t, core, await keyless(mesh));
  await core.tick();
  t.equal(core.connections().includes(atCore), true, 'nor when it is judged again');
});

t.test('no other party speaks to an engine without a party key, in either direction', async (t) => {
  const mesh = await createTestMesh(t);
  const other = await mesh.endpoint('engine', { party: 2 });
  const [called] = await tryPair(t, other, await keyless(mesh));
  t.match(reasonsOf(called), /identity/);
  const [, calling] = await tryPair(t, await keyless(mesh), other);
  t.match(reasonsOf(calling), /identity/);
});

t.test('a Core of another instance does not speak to it', async (t) => {
  const mesh = await createTestMesh(t);
  const core = await mesh.endpoint('core', { attester: { instanceId: 'i-0ffffffffffffffff' } });
  const [atCore] = await tryPair(t, core, await keyless(mesh));
  t.match(reasonsOf(atCore), /instance/);
});

t.test('half an identity is none: a certificate without a signature is refused', async (t) => {
  const mesh = await createTestMesh(t);
  const core = await mesh.endpoint('core');
  const party = mesh.parties[0];
  const identity = party && { ...party.identity, sign: () => new Uint8Array(64) };
  const engine = await mesh.endpoint('engine', { self: { identity } });
  const [atCore] = await tryPair(t, core, engine);
  t.match(reasonsOf(atCore), /identity/);
});
