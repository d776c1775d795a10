/** What the engine knows of governance: taken for its signatures alone, kept in the vault, never put back. */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import {
  decodeSignedReleaseSet,
  encodeCharter,
  encodeSigned,
  makeCharter,
  makeRecord,
  makeReleaseSet,
  proposalDigest,
  rawPublicKey,
  signRecord,
  signReleaseSet,
  unsignedProposal,
  withApproval,
} from '../../../attestation/governance/index.ts';
import { approve } from '../../../attestation/governance/proposal.ts';
import { writeNodeFile } from '../../../attestation/node/node-files.ts';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { ApprovalCallSchema, GovernanceObjectSchema, GovernanceStateSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import type { EngineTestLink } from '../../helpers/engine-link.ts';
import { present } from '../../helpers/present.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { testEngine } from '../../helpers/test-engine.ts';
import { type TestTrust, testTrust } from '../../helpers/test-trust.ts';

const SUBJECT = createHash('sha384').update('a request').digest();

const approvalOf = (kind: string, digest: Uint8Array) =>
  toBinary(ApprovalCallSchema, create(ApprovalCallSchema, { kind, digest }));

async function put(link: EngineTestLink, kind: string, content: Uint8Array) {
  const body = toBinary(GovernanceObjectSchema, create(GovernanceObjectSchema, { kind, content }));
  return fromBinary(GovernanceStateSchema, await link.call(ENGINE_METHOD.governancePut, body));
}

const stateOf = async (link: EngineTestLink) =>
  fromBinary(GovernanceStateSchema, await link.call(ENGINE_METHOD.governanceState));

/** The next version of what a trust's files hold. */
function nextRecord({ record, governanceKey }: TestTrust, version: number, address?: Uint8Array): Uint8Array {
  const parties = [{ party: 1, ...(address ? { address } : {}) }];
  return encodeSigned(signRecord(makeRecord({ ...record.body, version, parties }), governanceKey));
}

t.test('the first start enrols the address, later ones keep record and count themselves', async (t) => {
  const folder = tempDir(t);
  const first = await testEngine(t, { folder });
  t.match(first.engine.facts, { incarnation: 1, party: 1, release: /\+dev\./, network: /^dev:[0-9a-f]{16}$/ });
  const enrolled = await stateOf(await first.link());
  const { record } = first.trust;
  t.not(Buffer.compare(enrolled.record, encodeSigned(record)), 0, 'the record names the address now');
  await first.stop();
  const second = await testEngine(t, { folder });
  t.match(second.engine.facts, { incarnation: 2, address: first.engine.facts.address });
  const kept = await stateOf(await second.link());
  t.same(kept.record, enrolled.record, 'the older file changed nothing');
  t.equal(kept.incarnation, 2n);
  t.same(kept.charter, encodeCharter(first.trust.charter));
});

t.test('records and release sets never go back, and unsigned ones do not count', async (t) => {
  const { engine, link: open, trust, folder, stop } = await testEngine(t);
  const link = await open();
  const address = fromHex(String(engine.facts.address).slice(2));
  const newer = nextRecord(trust, 7, address);
  await put(link, 'record', newer);
  await t.rejects(
    put(link, 'record', nextRecord(trust, 6, address)),
    { code: 'PRECONDITION_FAILED' },
    'an older record',
  );
  const other = nextRecord(trust, 7, new Uint8Array(20).fill(9));
  await t.rejects(put(link, 'record', other), { code: 'ALREADY_EXISTS' }, 'another of the same version');
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const forged = nextRecord({ ...trust, governanceKey: stranger }, 9);
  await t.rejects(put(link, 'record', forged), { code: 'APPROVAL_MISSING' }, 'signed by a stranger');
  const set = makeReleaseSet({ version: 5, network: trust.charter.network, entries: [] });
  await t.rejects(put(link, 'release-set', encodeSigned(set)), { code: 'PERMISSION_DENIED' }, 'not signed');
  await t.rejects(put(link, 'recrod', newer), { code: 'REQUEST_INVALID' }, 'a kind that does not exist');
  await stop();
  const again = await testEngine(t, { folder });
  t.same((await stateOf(await again.link())).record, newer, 'it is in the vault');
  await t.rejects(put(await again.link(), 'record', nextRecord(trust, 6)), { code: 'PRECONDITION_FAILED' });
});

t.test('a set that trusts this Core no more ends its connection', async (t) => {
  const { link: open, trust } = await testEngine(t);
  const link = await open();
  const unsigned = makeReleaseSet({ version: 99, network: trust.charter.network, entries: [] });
  const signed = withApproval('release-set', signReleaseSet(unsigned, trust.releaseKey), trust.governanceKey);
  await put(link, 'release-set', encodeSigned(signed)).catch(() => undefined);
  await link.closed;
  await t.rejects(open(), { code: /^ATTESTATION_REJECTED|UNAVAILABLE$/ }, 'nor is there another');
});

t.test('in developer mode the local key approves by itself, and the vault keeps it', async (t) => {
  const { link: open } = await testEngine(t);
  const link = await open();
  t.same(await link.call(ENGINE_METHOD.requireApproval, approvalOf('context', SUBJECT)), new Uint8Array());
  t.match((await stateOf(link)).proposals, [{ kind: 'context', inForce: true, signatures: 1, needed: 1 }]);
  for (const [kind, digest, why] of [
    ['contxt', SUBJECT, 'no kind'],
    ['context', SUBJECT.subarray(1), 'no digest'],
  ] as const) {
    const call = link.call(ENGINE_METHOD.requireApproval, approvalOf(kind, digest));
    await t.rejects(call, { code: 'REQUEST_INVALID' }, why);
  }
});

/** A folder whose charter has three governance keys, all of which must sign. */
async function governedBy(folder: string, keys: readonly KeyObject[]): Promise<void> {
  const trust = await testTrust(folder);
  const governance = { keys: keys.map(rawPublicKey), threshold: keys.length };
  const charter = makeCharter({ ...trust.charter, governance });
  const unsigned = makeRecord({ ...trust.record.body, version: 1 });
  const record = keys.reduce((signed, key) => signRecord(signed, key), unsigned);
  const empty = makeReleaseSet(decodeSignedReleaseSet(present((await trust.files()).releases)).body);
  const set = keys.reduce((one, key) => withApproval('release-set', one, key), signReleaseSet(empty, trust.releaseKey));
  const { charter_path: charterPath, record_path: recordPath, releases_path: releasesPath } = trust.config.attestation;
  await writeNodeFile(charterPath, encodeCharter(charter));
  await writeNodeFile(recordPath, encodeSigned(record));
  await writeNodeFile(releasesPath, encodeSigned(set));
}

t.test('without a local key an approval needs m signatures, and outlives a restart', async (t) => {
  const folder = tempDir(t);
  const trust = await testTrust(folder);
  const others = [1, 2].map(() => generateKeyPairSync('ed25519').privateKey);
  const keys = [trust.governanceKey, ...others];
  await governedBy(folder, keys);
  const start = async () => {
    const opened = await testTrust(folder);
    const { nsm } = await opened.attester({ role: 'engine' });
    return await testEngine(t, { folder, attestation: { ...(await opened.files()), nsm } });
  };
  const engine = await start();
  const link = await engine.link();
  const ask = (via: EngineTestLink) => via.call(ENGINE_METHOD.requireApproval, approvalOf('epoch', SUBJECT));
  const proposal = { network: trust.charter.network, kind: 'epoch' as const, digest: SUBJECT };
  const named = { code: 'APPROVAL_MISSING', facts: { proposalDigest: toHex(proposalDigest(proposal)) } };
  await t.rejects(ask(link), named, 'nobody has signed');
  const unsigned = unsignedProposal(proposal);
  for (const [at, key] of keys.entries()) {
    await t.rejects(ask(link), named, `${at} of ${keys.length}`);
    const approvals = [approve(proposal, key)];
    await put(link, 'proposal', encodeSigned({ ...unsigned, approvals }));
  }
  t.same(await ask(link), new Uint8Array());
  await engine.stop();
  t.same(await ask(await (await start()).link()), new Uint8Array(), 'after a restart');
});
