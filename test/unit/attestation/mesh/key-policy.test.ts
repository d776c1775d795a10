/** Root keys of other parties: only under the policy that governance has named, where it has named one. */
import t from 'tap';
import type { MeshSelf } from '../../../../attestation/mesh/mesh-context.ts';
import { connectPair, createTestMesh, type TestMesh, tryPair } from '../../../helpers/mesh-pair.ts';
import { present } from '../../../helpers/present.ts';
import { reasonsOf } from './scene.ts';

const NAMED = new Uint8Array(48).fill(7);

/** Party 2's engine, whose root key has this policy. */
const engineWith = (mesh: TestMesh, keyPolicyHash: Uint8Array) => {
  const identityCertificate = present(mesh.parties[1]).identity.certificate;
  const hello: MeshSelf['hello'] = () => ({
    releaseSetVersion: 1,
    recordVersion: 1,
    keyPolicyHash,
    manifestVersion: 1,
    manifestHead: new Uint8Array(48),
    identityCertificate,
  });
  return mesh.endpoint('engine', { party: 2, self: { hello } });
};

/** A view in which governance names the policy of party 2's key. */
const named = (mesh: TestMesh) =>
  mesh.makeView({
    parties: mesh.view.parties.map((party) => (party.party === 2 ? { ...party, keyPolicyHash: NAMED } : party)),
  });

t.test('the policy that governance has named is accepted, and any where it names none', async (t) => {
  const mesh = await createTestMesh(t);
  const strict = await mesh.endpoint('engine', { view: named(mesh) });
  await connectPair(t, strict, await engineWith(mesh, NAMED));
  const other = await mesh.endpoint('engine');
  await connectPair(t, other, await engineWith(mesh, new Uint8Array(48).fill(8)));
});

t.test('another policy, or none, is refused in either direction, and both are told', async (t) => {
  const mesh = await createTestMesh(t);
  const strict = await mesh.endpoint('engine', { view: named(mesh) });
  for (const policy of [new Uint8Array(48).fill(8), new Uint8Array(48)]) {
    const [called] = await tryPair(t, strict, await engineWith(mesh, policy));
    t.match(reasonsOf(called), /key-policy/);
    const [, calling] = await tryPair(t, await engineWith(mesh, policy), strict);
    t.match(reasonsOf(calling), /key-policy/);
  }
});

t.test('a connection stays when governance names another policy: the engine is about to start again', async (t) => {
  const mesh = await createTestMesh(t);
  const view = named(mesh);
  const strict = await mesh.endpoint('engine', { view });
  const [connection] = await connectPair(t, strict, await engineWith(mesh, NAMED));
  view.parties = view.parties.map((party) => ({ ...party, keyPolicyHash: new Uint8Array(48).fill(9) }));
  view.changed();
  await strict.tick();
  t.ok(strict.connections().includes(connection));
});
