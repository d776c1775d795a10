/** The attested certificate of the client port: bound, renewed, judged by clients, useless for anything else. */
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readClientLeaf } from '../../../attestation/client-leaf.ts';
import { measurementsOf } from '../../../attestation/governance/measurements.ts';
import { readLeaf } from '../../../attestation/mesh/leaf.ts';
import type { Clock } from '../../../common/clock.ts';
import { createLogger } from '../../../common/log.ts';
import { fetchClientLeaf } from '../../../parent/cli/attest/fetch-attestation.ts';
import { judgeClientLeaf } from '../../../parent/cli/attest/judge.ts';
import type { Trust } from '../../../parent/cli/attest/trust.ts';
import { type CertificateEndpoint, openAttestedTlsSource } from '../../../parent/core/admin/attested-certificate.ts';
import { openKmsClient } from '../../../parent/grpc/client.ts';
import { startTestAttester, type TestAttester } from '../../helpers/software-nsm.ts';
import { makeTestCa } from '../../helpers/test-ca.ts';
import { startTestCore } from './test-core.ts';

const HOUR_MS = 3_600_000;
const log = createLogger({ name: 'test', level: 'fatal' });

/** An endpoint around an attester; its leaf ends three hours after the clock's time. */
async function endpointOf(attester: TestAttester, clock: Clock): Promise<CertificateEndpoint> {
  const self = { network: 'dev:test', party: 1, attester: attester.nsm };
  const leaf = async () => ({ notAfterMs: clock.nowMs() + 3 * HOUR_MS - 60_000 });
  return { self, leaf };
}

async function start(t: Test, clock: Clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }) {
  const attester = await startTestAttester({ role: 'core', clock });
  const endpoint = await endpointOf(attester, clock);
  const source = await openAttestedTlsSource({ endpoint, clock, log, checkEveryMs: HOUR_MS });
  t.teardown(() => source.close());
  return { attester, source };
}

function trusting({ anchor, pcrs }: TestAttester, release = 'arca-1.0.0'): Trust {
  const life = { notBeforeMs: 0, notAfterMs: Number.MAX_SAFE_INTEGER };
  const entries = [{ release, platform: 'developer', role: 'core', pcrs, ...life } as const];
  return {
    anchor,
    developer: true,
    measurements: (atMs) => measurementsOf({ version: 1, network: 'dev:test', entries }, atMs),
    charterDigest: undefined,
  };
}

const derOf = (pem: string): Uint8Array => new Uint8Array(new X509Certificate(pem).raw);

t.test('a client that verifies attestation needs no authority', async (t) => {
  const { attester, source } = await start(t);
  const { core } = await startTestCore(t, { insecure: false, access: { tls: source } });
  const leaf = await fetchClientLeaf(`https://127.0.0.1:${core.address.port}`);
  const { ok, faults, explanation } = await judgeClientLeaf(leaf, trusting(attester), Date.now());
  t.strictSame([ok, faults, explanation.release], [true, [], 'arca-1.0.0']);
});

t.test('everything wrong with it is found', async (t) => {
  const { attester, source } = await start(t);
  const leaf = readClientLeaf(derOf(source.current().cert));
  const stranger = await startTestAttester({ role: 'core' });
  const nowMs = Date.now();
  const cases: readonly (readonly [string, Parameters<typeof judgeClientLeaf>, RegExp])[] = [
    ['another root', [leaf, trusting(stranger), nowMs], /3\.1/],
    ['no release', [leaf, { ...trusting(attester), measurements: undefined }, nowMs], /6\.2/],
    [
      'another measurement',
      [leaf, { ...trusting(stranger), anchor: attester.anchor, measurements: () => [] }, nowMs],
      /6\.2/,
    ],
    ['another key', [{ ...leaf, spki: new Uint8Array(91) }, trusting(attester), nowMs], /7\.2.*7\.3/],
    ['another party', [{ ...leaf, party: 2 }, trusting(attester), nowMs], /7\.3/],
    ['another network', [{ ...leaf, network: 'main' }, trusting(attester), nowMs], /7\.3.*8\.4/],
    ['its end', [leaf, trusting(attester), nowMs + 4 * HOUR_MS], /8\.7/],
  ];
  for (const [why, arguments_, faults] of cases) {
    const judgement = await judgeClientLeaf(...arguments_);
    t.equal(judgement.ok, false, why);
    t.match(judgement.faults.join('; '), faults, why);
  }
});

t.test('it is no leaf of the mesh, and a file certificate is no attested one', async (t) => {
  const { source } = await start(t);
  const der = derOf(source.current().cert);
  t.throws(() => readLeaf(der, 32 * 1024), { code: 'ATTESTATION_INVALID' });
  const ca = makeTestCa();
  for (const pem of [ca.pem, ca.issue({ subject: 'localhost' }).cert]) {
    t.throws(() => readClientLeaf(derOf(pem)), { name: 'KmsError' });
  }
  for (const at of [10, 100, der.length - 10]) {
    const changed = Uint8Array.from(der);
    changed[at] = (changed[at] ?? 0) ^ 1;
    t.throws(() => readClientLeaf(changed), { name: 'KmsError' }, `byte ${at}`);
    t.throws(() => readClientLeaf(der.subarray(0, at)), { name: 'KmsError' }, `cut at ${at}`);
  }
  t.throws(() => readClientLeaf(new Uint8Array(40_000)), { message: /too large/ });
});

t.test(
  'it is renewed at two thirds of its life, served at once, and health says when that fails for good',
  async (t) => {
    let nowMs = Date.now();
    const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
    const { attester, source } = await start(t, clock);
    const first = source.current().cert;
    const told: string[] = [];
    source.onChange(({ cert }) => told.push(cert));
    nowMs += HOUR_MS;
    t.equal(await source.check(), false, 'one third');
    nowMs += 1.1 * HOUR_MS;
    t.equal(await source.check(), true, 'two thirds');
    t.strictSame(told, [source.current().cert]);
    t.not(told[0], first);
    attester.nsm.attest = () => Promise.reject(new Error('the device is gone'));
    nowMs += 2.5 * HOUR_MS;
    t.equal(await source.check(), false);
    t.strictSame(source.reasons(), [], 'the last one still serves');
    nowMs += HOUR_MS;
    t.match(source.reasons(), [/1 renewals failed/]);
  },
);

t.test('it goes together with client certificates, and health with both', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'arca-tls-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const clientCa = makeTestCa('Client CA');
  const clientCaPath = join(dir, 'clients.pem');
  writeFileSync(clientCaPath, clientCa.pem);
  const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() };
  const endpoint = await endpointOf(await startTestAttester({ role: 'core' }), clock);
  const source = await openAttestedTlsSource({ endpoint, clientCaPath, clock, log });
  t.teardown(() => source.close());
  const { core } = await startTestCore(t, { insecure: false, access: { tls: source, allow: { admin: ['ops'] } } });
  const url = `https://localhost:${core.address.port}`;
  // A client of the published kind trusts the certificate itself; its name it cannot check.
  const client = openKmsClient(url, { ca: source.current().cert, ...clientCa.issue({ subject: 'ops' }) });
  t.teardown(() => client.close());
  await t.rejects(client.health(), { name: 'GrpcError', status: 14 }, 'the certificate has no host name');
  writeFileSync(clientCaPath, 'x');
  await t.rejects(openAttestedTlsSource({ endpoint, clientCaPath, clock, log }), { code: 'CONFIG_INVALID' });
});
