/** How an engine starts: bound to its charter, with the right clock, under the right root, or not at all. */
import { createHash } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { attestCommitment } from '../../../attestation/attest-facts.ts';
import { makeDeveloperRoot } from '../../../attestation/developer/chain.ts';
import { AWS_NITRO_ROOT, verifyLiveDocument } from '../../../attestation/document/index.ts';
import { charterDigest, pcr16Of } from '../../../attestation/governance/index.ts';
import { readNodeFiles } from '../../../attestation/node/node-files.ts';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { bindCharter } from '../../../enclave/mesh/bind-charter.ts';
import { AttestCallSchema, AttestResultSchema } from '../../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { present } from '../../helpers/present.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { privateStorage, testEngine } from '../../helpers/test-engine.ts';
import { testTrust } from '../../helpers/test-trust.ts';

t.test('the charter is bound and everything locked before a document is made', async (t) => {
  const trust = await testTrust(tempDir(t));
  const { nsm } = await trust.attester({ role: 'engine' });
  const anchor = trust.root.anchor;
  const document = await bindCharter(nsm, trust.charter, { anchor, clock: systemClock });
  t.same(document.pcrs.get(16), pcr16Of(trust.charter));
  t.equal((await nsm.describe()).lockedPcrs.length, 32);
  await t.rejects(nsm.extendPcr(17, new Uint8Array(48)), { code: 'STATE_INVALID' }, 'nothing can be added later');
});

t.test('an engine does not start where its charter cannot be bound', async (t) => {
  const trust = await testTrust(tempDir(t));
  const anchor = trust.root.anchor;
  const other = createHash('sha384').update('another charter').digest();
  const extended = (await trust.attester({ role: 'engine' })).nsm;
  await extended.extendPcr(16, other);
  const bind = (nsm: typeof extended, clock = systemClock) => bindCharter(nsm, trust.charter, { anchor, clock });
  await t.rejects(bind(extended), { code: 'STATE_INVALID', message: /PCR16/ }, 'extended before');
  const { nsm: locked } = await trust.attester({ role: 'engine', charterDigest: other });
  await t.rejects(bind(locked), { code: 'STATE_INVALID' }, 'locked before');
  const { nsm: stranger } = await trust.attester({
    role: 'engine',
    root: makeDeveloperRoot({ nowMs: systemClock.nowMs() }),
  });
  await t.rejects(bind(stranger), { code: 'ATTESTATION_INVALID' }, 'another root');
  for (const offMs of [61_000, -61_000]) {
    const { nsm } = await trust.attester({ role: 'engine' });
    const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + offMs };
    await t.rejects(
      bind(nsm, clock),
      { code: 'STATE_INVALID', message: /clock says .* attestation .*60 s/ },
      `${offMs}`,
    );
  }
});

t.test('a charter of another root is refused by name', async (t) => {
  const trust = await testTrust(tempDir(t));
  await t.rejects(readNodeFiles(trust.config, AWS_NITRO_ROOT), {
    code: 'CONFIG_INVALID',
    message: /network dev:[0-9a-f]+ has another root than /,
  });
});

t.test('nothing secret is made or read before the charter is bound', async (t) => {
  const folder = tempDir(t);
  const trust = await testTrust(folder);
  const { nsm } = await trust.attester({ role: 'engine' });
  await nsm.extendPcr(16, new Uint8Array(48));
  await t.rejects(testEngine(t, { folder, attestation: { ...(await trust.files()), nsm } }), { code: 'STATE_INVALID' });
  t.same(await (await privateStorage(folder)).list([]), []);
});

t.test('a document for an asker echoes the nonce and commits to the facts beside it', async (t) => {
  const { engine, link: open, trust } = await testEngine(t);
  const link = await open();
  const ask = async (nonce: Uint8Array) => {
    const body = toBinary(AttestCallSchema, create(AttestCallSchema, { nonce }));
    return fromBinary(AttestResultSchema, await link.call(ENGINE_METHOD.attest, body));
  };
  const nonce = createHash('sha256').update('a question').digest();
  const { document, incarnation, ...facts } = await ask(nonce);
  const verified = await verifyLiveDocument(document, { anchor: trust.root.anchor, nowMs: systemClock.nowMs() });
  t.same(verified.nonce, Uint8Array.from(nonce));
  t.same(verified.userData, attestCommitment({ ...facts, incarnation: Number(incarnation) }));
  t.equal(verified.publicKey, undefined, 'it binds no key, so it proves no connection');
  t.match(facts, { network: trust.charter.network, party: 1, release: String(engine.facts.release) });
  t.same(facts.address, fromHex(String(engine.facts.address).slice(2)));
  t.equal(toHex(facts.charterDigest), toHex(charterDigest(trust.charter)));
  t.same(verified.pcrs.get(16), pcr16Of(trust.charter));
  for (const size of [0, 7, 65, 512]) {
    await t.rejects(ask(new Uint8Array(size)), { code: 'REQUEST_INVALID' }, `a nonce of ${size} bytes`);
  }
});

t.test('a Core of another instance, or one that is no release, is refused', async (t) => {
  const { trust } = await testEngine(t);
  const mesh = (more: object) => trust.coreMesh(t, undefined, more);
  for (const [why, more] of [
    ['another instance', { instanceId: 'i-0123456789abcdef9' }],
    ['another measurement', { pcrs: new Map([[11, new Uint8Array(48).fill(7)]]) }],
  ] as const) {
    const core = await mesh(more);
    await t.rejects(core.dial(AbortSignal.timeout(60_000)), { code: 'ATTESTATION_REJECTED' }, why);
    t.match(core.peers(), [{ role: 'engine', attested: false, reason: /refused/ }], `${why} is told`);
  }
  t.ok(present(await (await mesh({})).dial(AbortSignal.timeout(60_000))).renewAtMs, 'the right one is not');
});

t.test('an attester that fails ends the service when its last certificate does, not before', async (t) => {
  const folder = tempDir(t);
  const trust = await testTrust(folder);
  const madeMs = systemClock.nowMs();
  const { nsm } = await trust.attester({ role: 'engine', leafLifeMs: 9_000 });
  const device = { broken: false };
  const attest: typeof nsm.attest = (fields, signal) =>
    device.broken ? Promise.reject(new KmsError('UNAVAILABLE', 'the device is gone')) : nsm.attest(fields, signal);
  const failing = { ...nsm, attest };
  const { link: open } = await testEngine(t, { folder, attestation: { ...(await trust.files()), nsm: failing } });
  const link = await open();
  device.broken = true;
  let answered = 0;
  let ended = false;
  void link.closed.then(() => {
    ended = true;
  });
  while (!ended) {
    const ok = await link.call(ENGINE_METHOD.status).then(
      () => 1,
      () => 0,
    );
    answered += ok;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const endedAfterMs = systemClock.nowMs() - madeMs;
  t.ok(answered > 0, `${answered} calls were answered without an attester`);
  // Certificates tell whole seconds.
  t.ok(endedAfterMs > 8_000, `the connection ended with the certificate, not before: after ${endedAfterMs} ms`);
  await t.rejects(open(), { code: /^(?:UNAVAILABLE|ATTESTATION_REJECTED|ATTESTATION_INVALID)$/ }, 'and none is made');
});
