/**
 * Every attack on the handshake that we could think of, one test each: what fails, and for which reason. The table in
 * docs/security/mesh.md has the same rows.
 */
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { makeSigningChain } from '../../../../attestation/developer/chain.ts';
import { signDocument } from '../../../../attestation/developer/sign-document.ts';
import { verifyArchivedDocument } from '../../../../attestation/document/index.ts';
import { acceptMesh } from '../../../../attestation/mesh/accept.ts';
import { connectMesh } from '../../../../attestation/mesh/connect.ts';
import { encodeHello } from '../../../../attestation/mesh/hello.ts';
import { readLeafCertificate } from '../../../../attestation/mesh/leaf-certificate.ts';
import { encodeProof } from '../../../../attestation/mesh/proof.ts';
import { MESH_REASONS } from '../../../../attestation/mesh/reasons.ts';
import { encodeVerdict, writeMessage } from '../../../../attestation/mesh/wire-messages.ts';
import { createTestMesh, expectation } from '../../../helpers/mesh-pair.ts';
import { rawPair } from '../../../helpers/raw-pair.ts';
import { startTestAttester } from '../../../helpers/software-nsm.ts';
import { forgeLeaf, forgeProof, intrude, labelled, receive, sendProof, toPem } from './adversary.ts';
import { attack, attackProof, outcome, type Scene, SIGNAL, stage } from './scene.ts';

t.test('the adversary of these tests is accepted while it keeps all rules', async (t) => {
  t.equal(await attack(t, await stage(t), {}), 'accepted', 'engine to engine');
  t.equal(await attack(t, await stage(t, 'core'), {}), 'accepted', 'core to engine');
});

t.test('a copied certificate is useless without its key', async (t) => {
  const scene = await stage(t);
  const { der } = await scene.evil.leaf();
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const stolen = { ...(await forgeLeaf({ self: scene.evil.self, keys })), der };
  const [near] = await rawPair(t);
  await t.rejects(intrude(near, { ...stolen, tls: { ...stolen.tls, cert: toPem(der) } }, 'engine-data'), /key/);
});

t.test('a copied extension does not fit another key', async (t) => {
  const scene = await stage(t);
  const victim = await forgeLeaf({ self: scene.evil.self });
  const { payload } = readLeafCertificate(victim.der);
  t.equal(await attack(t, scene, { payload }), 'identity', 'the mesh key did not sign the new key');
  const core = await stage(t, 'core');
  const coreLeaf = await forgeLeaf({ self: core.evil.self });
  const found = await attack(t, core, { payload: readLeafCertificate(coreLeaf.der).payload });
  t.equal(found, 'certificate', 'a parent role has no signature: the document binds the old key');
});

t.test('a relayed handshake fails, though the relay owns a valid enclave', async (t) => {
  const mesh = await createTestMesh(t, { parties: 3 });
  const [alice, bob, mallory] = await Promise.all([1, 2, 3].map((party) => mesh.endpoint('engine', { party })));
  if (!alice || !bob || !mallory) throw new Error('three endpoints');
  const [aliceEnd, atAlice] = await rawPair(t);
  const [atBob, bobEnd] = await rawPair(t);
  const alices = outcome(connectMesh(aliceEnd, alice, expectation('engine-data', 'engine'), SIGNAL));
  const bobs = outcome(acceptMesh(bobEnd, bob, expectation('engine-data', 'engine'), SIGNAL));
  const leaf = await forgeLeaf({ self: mallory.self });
  const [toAlice, toBob] = await Promise.all([
    intrude(atAlice, leaf, 'engine-data', { isServer: true }),
    intrude(atBob, leaf, 'engine-data'),
  ]);
  const [ofAlice, ofBob] = await Promise.all([receive(toAlice), receive(toBob)]);
  await Promise.all([sendProof(toBob, ofAlice.body), sendProof(toAlice, ofBob.body)]).catch(() => {});
  t.match(await alices, /party.*proof/, "Bob's proof does not fit Alice's connection");
  t.match(await bobs, /party.*proof/, "Alice's proof does not fit Bob's connection");
});

t.test('a relay that claims to be the party it relays has no key to say so', async (t) => {
  const mesh = await createTestMesh(t, { parties: 3 });
  const [alice, bob] = await Promise.all([mesh.endpoint('engine'), mesh.endpoint('engine', { party: 2 })]);
  const scene: Scene = {
    mesh,
    honest: alice,
    evil: await mesh.endpoint('engine', { party: 3 }),
    service: 'engine-data',
    expect: expectation('engine-data', 'engine', { party: 2 }),
  };
  const identityCertificate = bob.self.identity?.certificate;
  t.equal(await attack(t, scene, { claims: { party: 2 }, identityCertificate }), 'identity');
});

t.test('a reflected proof is refused', async (t) => {
  const found = await attack(t, await stage(t), {}, async (intruder) =>
    sendProof(intruder, (await receive(intruder)).body),
  );
  t.match(found, /party.*proof/);
});

t.test('a role-swapped proof is refused', async (t) => {
  t.match(await attackProof(t, await stage(t), { claims: { role: 'core' } }), /role.*proof/);
  t.match(
    await attackProof(t, await stage(t), { claims: { service: 'engine-calls' } }),
    /role.*proof/,
    'another service',
  );
});

t.test('client and server leaf have their places in the proof', async (t) => {
  const scene = await stage(t);
  const found = await attack(t, scene, {}, async (intruder, leaf) => {
    const { clientLeafSha256: serverLeafSha256, serverLeafSha256: clientLeafSha256 } = intruder.channel;
    const channel = { clientLeafSha256, serverLeafSha256 };
    await sendProof(intruder, await forgeProof(scene.evil.self, leaf, intruder, { channel }));
  });
  t.equal(found, 'proof');
});

t.test('a proof by a sibling enclave of the same image is refused', async (t) => {
  const scene = await stage(t);
  const sibling = await startTestAttester({
    role: 'engine',
    root: scene.mesh.root,
    instanceId: scene.evil.attesterOf.instanceId,
    enclaveId: 'fedcba9876543210',
    charterDigest: scene.mesh.parties[1]?.charterDigest ?? new Uint8Array(),
  });
  t.equal(await attackProof(t, scene, { document: (fields) => sibling.nsm.attest(fields) }), 'proof');
});

t.test('a proof after another measurement went into a register is refused', async (t) => {
  const scene = await stage(t);
  const { root } = scene.mesh;
  const changed = await startTestAttester({
    role: 'engine',
    root,
    instanceId: scene.evil.attesterOf.instanceId,
    pcrs: new Map([[3, new Uint8Array(48).fill(1)]]),
    charterDigest: scene.mesh.parties[1]?.charterDigest ?? new Uint8Array(),
  });
  t.equal(await attackProof(t, scene, { document: (fields) => changed.nsm.attest(fields) }), 'proof');
});

t.test('a document made for anybody who asks proves nothing', async (t) => {
  const scene = await stage(t);
  const nonce = new Uint8Array(32).fill(9);
  const { attester } = scene.evil.self;
  const asked = () => attester.attest({ nonce, userData: labelled('arca-attest-1', scene.mesh.network, 2) });
  t.equal(await attackProof(t, scene, { document: asked }), 'proof', 'as a proof');
  t.equal(await attack(t, scene, { document: asked }), 'certificate', 'as the document of a leaf');
  const withNonce = (fields: { publicKey: Uint8Array; userData: Uint8Array }) => attester.attest({ ...fields, nonce });
  t.equal(await attackProof(t, scene, { document: withNonce }), 'proof', 'all right but for a nonce');
});

t.test('a document over another key, or over none, is refused though all else is right', async (t) => {
  const scene = await stage(t);
  const { attester } = scene.evil.self;
  const otherKey = new Uint8Array(91).fill(4);
  for (const publicKey of [otherKey, undefined]) {
    const document = ({ userData }: { userData: Uint8Array }) => attester.attest({ publicKey, userData });
    t.equal(await attackProof(t, scene, { document }), 'proof');
    t.equal(await attack(t, scene, { document }), 'certificate');
  }
});

t.test('a proof whose chain has ended is refused, however new it says it is', async (t) => {
  const scene = await stage(t);
  const { root, anchor } = scene.mesh;
  const { moduleId, platform } = scene.evil.attesterOf;
  const now = Date.now();
  const chain = makeSigningChain(root, { nowMs: now - 62_000, moduleId, leafLifeMs: 60_000 });
  const { pcrs } = await verifyArchivedDocument(await scene.evil.self.attester.attest({}), { anchor });
  const sign = (timestampMs: number) => async (fields: { publicKey: Uint8Array; userData: Uint8Array }) =>
    signDocument({ chain, platform, moduleId, timestampMs, pcrs, ...fields });
  t.ok(chain.notAfterMs < now);
  t.equal(await attackProof(t, scene, { document: sign(now) }), 'document');
});

t.test('the document of the leaf is no proof, and a proof is no document of a leaf', async (t) => {
  const scene = await stage(t);
  let first: Uint8Array | undefined;
  const leafDocument = async (fields: { publicKey: Uint8Array; userData: Uint8Array }) => {
    first = await scene.evil.self.attester.attest(fields);
    return first;
  };
  const found = await attack(t, scene, { document: leafDocument }, async (intruder, leaf) => {
    const document = async () => first ?? new Uint8Array();
    await sendProof(intruder, await forgeProof(scene.evil.self, leaf, intruder, { document }));
  });
  t.equal(found, 'proof');
});

t.test('a replayed proof fits no second connection', async (t) => {
  const scene = await stage(t);
  const leaf = await forgeLeaf({ self: scene.evil.self });
  let recorded: Awaited<ReturnType<typeof forgeProof>> | undefined;
  const keys = { publicKey: createPublicKey(leaf.privateKey), privateKey: leaf.privateKey };
  const payload = readLeafCertificate(leaf.der).payload;
  const times = { notBeforeMs: Date.now() - 5000, notAfterMs: Date.now() + 600_000 };
  const first = await attack(t, scene, { keys, payload, ...times }, async (intruder, same) => {
    recorded = await forgeProof(scene.evil.self, same, intruder);
    await sendProof(intruder, recorded);
  });
  t.equal(first, 'accepted');
  const second = await attack(t, scene, { keys, payload, ...times }, async (intruder) => {
    if (recorded) await sendProof(intruder, recorded);
  });
  t.equal(second, 'proof');
});

t.test('a verdict is no proof, and a second proof no verdict', async (t) => {
  const verdictOnly = await attack(t, await stage(t), {}, async ({ socket }) => {
    await writeMessage(socket, 'verdict', encodeVerdict([]));
  });
  t.equal(verdictOnly, 'malformed', 'an accepting verdict replayed in place of the proof');
  const scene = await stage(t);
  const twice = await attack(t, scene, {}, async (intruder, leaf) => {
    const proof = await forgeProof(scene.evil.self, leaf, intruder);
    await writeMessage(intruder.socket, 'proof', encodeProof(proof));
    await writeMessage(intruder.socket, 'proof', encodeProof(proof));
  });
  t.equal(twice, 'malformed');
});

t.test('a peer that refuses after its proof is no peer', async (t) => {
  const scene = await stage(t);
  const found = await attack(t, scene, {}, async (intruder, leaf) => {
    const proof = encodeProof(await forgeProof(scene.evil.self, leaf, intruder));
    await writeMessage(intruder.socket, 'proof', proof);
    await writeMessage(intruder.socket, 'verdict', encodeVerdict([MESH_REASONS.clock, 250]));
  });
  t.equal(found, 'clock,reason 250', 'its reasons are kept, those of later versions by number');
  t.same(scene.honest.connections(), []);
});

t.test('a proof for another receiver or by another sender is refused', async (t) => {
  t.match(await attackProof(t, await stage(t), { claims: { receiver: 3 } }), /party.*proof/);
  t.match(await attackProof(t, await stage(t), { claims: { sender: 3 } }), /party.*proof/);
});

t.test('another context is refused', async (t) => {
  t.match(await attackProof(t, await stage(t), { claims: { context: new Uint8Array(32) } }), /context.*proof/);
});

t.test('a lower incarnation than seen is refused', async (t) => {
  const scene = await stage(t);
  scene.honest.view.noteIncarnation(2, 5);
  t.match(await attackProof(t, scene, { claims: { incarnation: 4 } }), /incarnation/);
  t.equal(await attackProof(t, scene, { claims: { incarnation: 5 } }), 'accepted');
});

t.test('hello and leaf must name one identity, and the hello is bound by the proof', async (t) => {
  const scene = await stage(t);
  const hello = scene.evil.self.hello();
  const other = encodeHello({ ...hello, identityCertificate: scene.mesh.parties[2]?.identity.certificate });
  t.equal(await attackProof(t, scene, { hello: other }), 'identity');
  const found = await attack(t, scene, {}, async (intruder, leaf) => {
    const proof = await forgeProof(scene.evil.self, leaf, intruder);
    await sendProof(intruder, { ...proof, hello: encodeHello({ ...hello, releaseSetVersion: 99 }) });
  });
  t.equal(found, 'proof', 'a hello changed after the proof was made');
});

t.test('a proof without the mesh key is refused, though the document is right', async (t) => {
  const scene = await stage(t);
  t.equal(await attackProof(t, scene, { sign: () => new Uint8Array(64) }), 'proof');
  t.equal(await attackProof(t, scene, { sign: () => new Uint8Array() }), 'proof', 'an engine that leaves it out');
});
