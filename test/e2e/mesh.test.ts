/** The mesh between the processes of a real party: renewals, refusals, and what governance changes while it runs. */
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import {
  encodeSigned,
  makeReleaseSet,
  type ReleaseEntry,
  signReleaseSet,
  verifyReleaseSet,
  withApproval,
} from '../../attestation/governance/index.ts';
import { systemClock } from '../../common/clock.ts';
import { loadNodeConfig } from '../../parent/cli/config/check-config.ts';
import { ensureDeveloperRelease } from '../../parent/cli/supervise/developer-release.ts';
import { type DeveloperTrust, openDeveloperTrust, trustPaths } from '../../parent/cli/supervise/developer-trust.ts';
import { GovernanceObjectSchema } from '../../proto/gen/engine_pb.js';
import { HealthCheckResponse_ServingStatus as Serving } from '../../proto/gen/health_pb.js';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { EngineTestLink } from '../helpers/engine-link.ts';
import { publicDecryption, statusOf } from '../helpers/party-requests.ts';
import { encryptFor, type Party, startParty } from '../helpers/start-party.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { dialRunningEngine, testTrust } from '../helpers/test-trust.ts';

/** Every process judges its connections again within 5 s; the rest is for a machine that is busy with other things. */
const REJUDGED_WITHIN_MS = 30_000;

async function ciphertextOf(party: Party) {
  const { keyId } = await party.generateKey();
  const [ciphertext = new Uint8Array()] = await encryptFor(party, keyId, [{ value: 7n, fheType: 2 }]);
  return { keyId, ciphertexts: [{ ciphertext, fheType: 2 }] };
}

/** Hands the engine of a running party a release set of the next version with other entries. */
async function replaceReleases(dir: string, link: EngineTestLink, edit: (entry: ReleaseEntry) => ReleaseEntry[]) {
  const trust = await testTrustOf(dir);
  const bytes = readFileSync(join(dir, 'governance/releases.cbor'));
  const { version, network, entries } = verifyReleaseSet(bytes, trust.record.body).body;
  const unsigned = makeReleaseSet({ version: version + 1, network, entries: entries.flatMap(edit) });
  const set = withApproval('release-set', signReleaseSet(unsigned, trust.releaseKey), trust.governanceKey);
  const object = create(GovernanceObjectSchema, { kind: 'release-set', content: encodeSigned(set) });
  // The answer may not come any more: the connection it would come on is judged by the new set.
  await link.call(ENGINE_METHOD.governancePut, toBinary(GovernanceObjectSchema, object)).catch(() => undefined);
}

async function testTrustOf(dir: string): Promise<DeveloperTrust> {
  return await openDeveloperTrust(trustPaths(loadNodeConfig(join(dir, 'node.toml'), {})));
}

async function until(holds: () => Promise<boolean>, withinMs: number): Promise<boolean> {
  const endMs = performance.now() + withinMs;
  while (performance.now() < endMs) {
    if (await holds()) return true;
    await delay(20);
  }
  return false;
}

const healthOf = (party: Party) => party.client.health().catch(() => Serving.NOT_SERVING);

t.test('certificates that live nine seconds are renewed, and no call is lost', async (t) => {
  const party = await startParty(t, { leafLifeMs: 9_000 });
  const { keyId, ciphertexts } = await ciphertextOf(party);
  const renewed = () => party.readLog().split('"engine.link.renewed"').length - 1;
  const statuses = new Map<number, number>();
  const caller = async () => {
    while (renewed() < 3) {
      const status = await statusOf(party.client.call('PublicDecryptSync', publicDecryption(keyId, ciphertexts)));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all([caller(), caller(), caller(), caller()]);
  t.same([...statuses.keys()], [0], `${statuses.get(0)} calls, ${renewed()} renewals`);
  t.notMatch(party.readLog(), /engine\.disconnected/);
});

t.test('a release set without these programs ends all connections, one with them brings them back', async (t) => {
  const dir = tempDir(t);
  const party = await startParty(t, { dir });
  t.equal(await healthOf(party), Serving.SERVING);
  const link = await EngineTestLink.open(await dialRunningEngine(t, dir));
  await replaceReleases(dir, link, (entry) =>
    entry.role === 'core' ? [{ ...entry, pcrs: new Map([...entry.pcrs, [12, new Uint8Array(48).fill(1)]]) }] : [entry],
  );
  const gone = await until(async () => (await healthOf(party)) !== Serving.SERVING, REJUDGED_WITHIN_MS);
  t.ok(gone, 'the Core is no longer trusted by its engine');
  const ready = await fetch(`${party.node.opsUrl}/ready`);
  t.equal(ready.status, 503);
  t.match(await ready.text(), /engine is not connected/);
  const says = async () => /mesh\.closed.*no longer accepted: measurement/.test(party.readLog());
  t.ok(await until(says, REJUDGED_WITHIN_MS), 'the engine says why');
  await party.stop();
  // The next start makes a set of its own, one version later.
  const again = await startParty(t, { dir });
  t.equal(await healthOf(again), Serving.SERVING);
});

t.test('a set signed for other programs is not used by the next start', async (t) => {
  const dir = tempDir(t);
  const first = await startParty(t, { dir });
  await first.stop();
  const trust = await testTrustOf(dir);
  const path = join(dir, 'governance/releases.cbor');
  await ensureDeveloperRelease(
    path,
    trust,
    new Map([['engine', new Map([0, 1, 2].map((i) => [i, new Uint8Array(48).fill(3)]))]]),
    systemClock,
  );
  const second = await startParty(t, { dir });
  t.equal(await healthOf(second), Serving.SERVING);
  t.same(second.node.address, first.node.address);
});

t.test(
  'a state folder of the last release is taken up: same node, enrolled under a charter that is made now',
  async (t) => {
    const dir = tempDir(t);
    const first = await startParty(t, { dir });
    const { keyId, ciphertexts } = await ciphertextOf(first);
    await first.stop();
    for (const name of ['governance', 'private/PRIV/Governance', 'private/PRIV/Incarnation']) {
      rmSync(join(dir, name), { recursive: true });
    }
    const second = await startParty(t, { dir });
    t.equal(second.node.address, first.node.address);
    t.not(second.node.network, first.node.network, 'the charter is a new one');
    t.equal(await statusOf(second.client.call('PublicDecryptSync', publicDecryption(keyId, ciphertexts))), 0);
  },
);

t.test('parts that do not belong together are refused by name', async (t) => {
  const dir = tempDir(t);
  const party = await startParty(t, { dir });
  await party.stop();
  const governance = join(dir, 'governance');
  cpSync(governance, join(dir, 'kept'), { recursive: true });
  for (const [name, wanted] of [
    ['developer-root', /another developer root/],
    ['governance-key', /another governance key/],
    ['charter', /another network|of another charter|another developer root/],
  ] as const) {
    for (const file of readdirSync(governance).filter((found) => found.startsWith(name)))
      rmSync(join(governance, file));
    const started = startParty(t, { dir });
    const told = await started.then(
      () => 'it started',
      (error: Error) => `${error.message}\n${error.cause instanceof Error ? error.cause.message : ''}`,
    );
    t.match(told, wanted, name);
    rmSync(governance, { recursive: true });
    cpSync(join(dir, 'kept'), governance, { recursive: true });
  }
  const again = await startParty(t, { dir });
  t.equal(await healthOf(again), Serving.SERVING, 'with the right ones it starts');
});

t.test('a stranger on the engine socket is refused, and told nothing', async (t) => {
  const dir = tempDir(t);
  const party = await startParty(t, { dir });
  const stranger = await testTrust(tempDir(t), party.node.engineSocket);
  const mesh = await stranger.coreMesh(t);
  await t.rejects(mesh.dial(AbortSignal.timeout(60_000)), { code: /^ATTESTATION_/ });
  t.ok(await until(async () => /mesh\.refused/.test(party.readLog()), REJUDGED_WITHIN_MS), 'the engine says so');
  t.equal(await healthOf(party), Serving.SERVING, 'the right Core is served all the same');
});
