/**
 * Peers that are real but not the right ones: other party, network, instance, role, release, charter.
 */
import { createHash } from 'node:crypto';
import t from 'tap';
import { createTestMesh, expectation, makeTestIdentity, makeTestParty, tryPair } from '../../../helpers/mesh-pair.ts';
import { startTestAttester, testPcrs } from '../../../helpers/software-nsm.ts';
import { attack, attackProof, reasonsOf, stage } from './scene.ts';

t.test('the right image with the key of no party is the wrong party', async (t) => {
  const scene = await stage(t);
  const { identity } = await makeTestParty(scene.mesh.network, 2, 'somebody else');
  t.equal(await attack(t, scene, { identity }), 'identity');
  t.equal(await attack(t, scene, { identity: undefined }), 'identity', 'no key at all');
});

t.test('a parent that shows a party key is refused: it has none', async (t) => {
  const scene = await stage(t, 'core');
  t.equal(await attack(t, scene, { identity: scene.mesh.parties[0]?.identity }), 'identity');
  const signed = await attackProof(t, scene, { sign: () => new Uint8Array(64) });
  t.equal(signed, 'proof', 'and one that signs its proof');
});

t.test('a party that is not in the context is refused before any signature is looked at', async (t) => {
  t.equal(await attack(t, await stage(t), { claims: { party: 9 }, meshSignature: new Uint8Array(64) }), 'party');
});

t.test('the right image on another network is refused', async (t) => {
  const scene = await stage(t);
  const other = await makeTestParty('dev:other', 2);
  t.match(await attack(t, scene, { claims: { network: 'dev:other' }, identity: other.identity }), /network/);
  t.equal(await attack(t, scene, { claims: { network: 'dev:other' } }), 'network', 'a leaf for the other network');
  t.match(await attack(t, scene, { identity: other.identity }), /network/, 'certified for the other network');
  t.match(await attackProof(t, scene, { claims: { network: 'dev:other' } }), /network.*proof/, 'proven for the other');
});

t.test('two parties that were swapped are both refused', async (t) => {
  const scene = await stage(t);
  const third = scene.mesh.parties[2]?.identity;
  t.match(await attack(t, scene, { identity: third }), /identity/, "party 2 with party 3's key");
  t.match(
    await attack(t, scene, { claims: { party: 3 }, identity: third }),
    /charter/,
    "party 3's key, party 2's charter",
  );
  const wanted = { ...scene, expect: expectation('engine-data', 'engine', { party: 3 }) };
  t.equal(await attack(t, wanted, {}), 'party', 'party 2 where party 3 was called');
});

t.test('a certificate for another number is refused, though the right node key made it', async (t) => {
  const scene = await stage(t);
  const nodeKey = createHash('sha256').update('test party 2 node key').digest();
  const certifiedFor = (party: number) => makeTestIdentity(scene.mesh.network, party, new Uint8Array(32), nodeKey);
  t.equal(await attack(t, scene, { identity: await certifiedFor(3) }), 'identity');
  const reasons = await attack(t, scene, { identity: await certifiedFor(2) });
  t.equal(reasons, 'identity,proof', 'a new mesh key passes the leaf, and is not the one that hello and proof name');
});

t.test('another instance is refused between the halves of one', async (t) => {
  const mesh = await createTestMesh(t);
  const engine = await mesh.endpoint('engine');
  const core = await mesh.endpoint('core', { attester: { instanceId: 'i-0ffffffffffffffff' } });
  const [atCore, atEngine] = await tryPair(t, core, engine);
  t.match(reasonsOf(atEngine), /instance/);
  t.match(reasonsOf(atCore), /instance/);
});

t.test('a register 4 that is not the instance of the module id is refused', async (t) => {
  const scene = await stage(t);
  const liar = await startTestAttester({
    role: 'engine',
    root: scene.mesh.root,
    instanceId: scene.evil.attesterOf.instanceId,
    pcrs: new Map([[4, new Uint8Array(48).fill(4)]]),
    charterDigest: scene.mesh.parties[1]?.charterDigest ?? new Uint8Array(),
  });
  t.equal(await attack(t, scene, { document: (fields) => liar.nsm.attest(fields) }), 'instance');
});

t.test('an enclave’s document never serves a parent, nor the reverse', async (t) => {
  const asCore = await stage(t, 'core');
  const enclave = await startTestAttester({
    role: 'engine',
    root: asCore.mesh.root,
    instanceId: asCore.evil.attesterOf.instanceId,
  });
  t.match(await attack(t, asCore, { document: (fields) => enclave.nsm.attest(fields) }), /role/);
  const asEngine = await stage(t);
  const parent = await startTestAttester({
    role: 'core',
    root: asEngine.mesh.root,
    instanceId: asEngine.evil.attesterOf.instanceId,
    pcrs: new Map([...testPcrs('engine'), ...testPcrs('core')]),
  });
  t.match(await attack(t, asEngine, { document: (fields) => parent.nsm.attest(fields) }), /role/);
});

t.test('a role that does not belong on the service is refused', async (t) => {
  const scene = await stage(t, 'core');
  t.match(await attack(t, scene, { claims: { role: 'connector' } }), /role/, 'a Core that says it is a Connector');
  t.match(await attack(t, await stage(t, 'core', 'core'), {}), /role/, 'a Core in the place of an engine');
  const wide = { ...scene, expect: { service: 'engine-calls', role: ['core', 'connector'] } } as const;
  t.match(await attack(t, wide, { claims: { role: 'connector' } }), /role/, 'no expectation widens a service');
});

t.test('a release entitles for the role of its entry alone', async (t) => {
  const scene = await stage(t, 'core');
  scene.mesh.view.allowed = scene.mesh.view.allowed.map((entry) =>
    entry.role === 'core' ? { ...entry, role: 'connector' as const } : entry,
  );
  t.equal(await attack(t, scene, {}), 'measurement', 'a Core that is listed as a Connector');
});

t.test('a document in debug mode is refused, even if a release lists zeros', async (t) => {
  const scene = await stage(t);
  const zeros = new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)]));
  const debug = await startTestAttester({
    role: 'engine',
    root: scene.mesh.root,
    instanceId: scene.evil.attesterOf.instanceId,
    pcrs: zeros,
    charterDigest: scene.mesh.parties[1]?.charterDigest ?? new Uint8Array(),
  });
  const document = (fields: { publicKey: Uint8Array; userData: Uint8Array }) => debug.nsm.attest(fields);
  t.equal(await attack(t, scene, { document }), 'measurement');
  scene.mesh.view.allowed = [{ release: 'debug', platform: 'enclave', role: 'engine', pcrs: zeros }];
  t.equal(await attack(t, scene, { document }), 'measurement', 'listed zeros trust nobody');
});

t.test('an engine under another charter is refused', async (t) => {
  const scene = await stage(t);
  const other = await startTestAttester({
    role: 'engine',
    root: scene.mesh.root,
    instanceId: scene.evil.attesterOf.instanceId,
    charterDigest: createHash('sha384').update('another charter').digest(),
  });
  t.equal(await attack(t, scene, { document: (fields) => other.nsm.attest(fields) }), 'charter');
});

t.test('an engine that is not enrolled may serve its own Core and nobody else', async (t) => {
  const mesh = await createTestMesh(t, { parties: 2 });
  mesh.view.parties = mesh.view.parties.map((party) => ({ ...party, address: undefined }));
  const engine = await mesh.endpoint('engine');
  const [atCore, atEngine] = await tryPair(t, await mesh.endpoint('core'), engine);
  t.equal(reasonsOf(atCore), 'accepted');
  t.equal(reasonsOf(atEngine), 'accepted');
  const [near, far] = await tryPair(t, await mesh.endpoint('engine', { party: 2 }), engine);
  t.match(reasonsOf(near), /identity/);
  t.match(reasonsOf(far), /identity/);
});

t.test('a party never talks to a clone of itself', async (t) => {
  const mesh = await createTestMesh(t);
  const [near, far] = await tryPair(t, await mesh.endpoint('engine'), await mesh.endpoint('engine'));
  t.equal(reasonsOf(near), 'party');
  t.equal(reasonsOf(far), 'party');
});

t.test('what is cheap to see is refused before anything is verified', async (t) => {
  const scene = await stage(t);
  const document = async () => new Uint8Array(4_000);
  t.equal(await attack(t, scene, { document, claims: { party: 9 } }), 'party', 'claims before the signature');
  t.equal(await attack(t, scene, { document, meshSignature: new Uint8Array(64) }), 'identity', 'it before the chain');
  const { identity } = await makeTestParty(scene.mesh.network, 2, 'somebody else');
  t.equal(await attack(t, scene, { document, identity }), 'identity', 'and so the address');
  t.equal(await attack(t, scene, { document }), 'document');
});

t.test('everything that is wrong at one step is told at once', async (t) => {
  const scene = await stage(t);
  const other = await startTestAttester({
    role: 'engine',
    root: scene.mesh.root,
    instanceId: scene.evil.attesterOf.instanceId,
    pcrs: testPcrs('engine', 'unknown'),
    charterDigest: new Uint8Array(48),
  });
  const found = await attack(t, scene, { document: (fields) => other.nsm.attest(fields) });
  t.equal(found, 'charter,measurement');
  const claims = { network: 'dev:other', context: new Uint8Array(32), receiver: 3, incarnation: 0 };
  scene.honest.view.noteIncarnation(2, 1);
  t.equal(await attackProof(t, scene, { claims }), 'network,context,party,incarnation,proof');
});
