/**
 * `arca run` with a nitro-cli that is played: launcher, vsock-proxy, Core and engine are the real ones, each a process of its
 * own; the engine boots from the boot document over the Unix form of vsock, and reaches S3 and AWS KMS through egress.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadNodeConfig } from '../../parent/cli/config/check-config.ts';
import { ATTESTATION_CHECK, ENCLAVE_CHECKS } from '../../parent/cli/doctor/enclave-checks.ts';
import { firstRun } from '../../parent/cli/guided/first-run.ts';
import { enclaveScene } from '../helpers/enclave-scene.ts';
import { fakeNitroCalls } from '../helpers/fake-nitro-cli.ts';

/** Looks again and again until `check` holds; the test's own time limit ends it. */
async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 50));
}

t.test('a node in an enclave serves, survives the end of its enclave, and comes back from a refused one', async (t) => {
  const scene = await enclaveScene(t);
  const node = await scene.start();
  const count = (what: string): number => scene.said().split(what).length - 1;
  /** The enclave was started again so often, and the Core has found its engine. */
  const isBack = async (times: number): Promise<boolean> =>
    count('the enclave is ready again') === times && (await fetch(`${node.node.opsUrl}/ready`)).ok;
  t.match(node.node, { developerMode: true, address: /^0x/ });
  t.same(Object.keys(node.pids()), ['core'], 'the enclave is no process of the launcher');

  const findings = { config: loadNodeConfig(scene.file, {}), dir: scene.dir, isRunning: true };
  for (const { name, run } of [...ENCLAVE_CHECKS, ATTESTATION_CHECK]) {
    // The machine of the test is no parent instance; its nitro-cli was asked before the start.
    if (name !== 'parent instance') t.match(await run(findings), /\w/, name);
  }
  const before = await firstRun(node, scene.output);
  t.ok(before.verified, "both answers are accepted by Zama's published client");

  scene.killEnclave();
  await until(() => isBack(1));
  t.match(scene.said(), /the enclave ended \(no last words were heard: the hypervisor has ended it\); started again/);
  const after = await firstRun(node, scene.output);
  t.match(after, { verified: true, keyId: before.keyId }, 'nothing is lost');

  // Another image under the same name: no release lists it, so it opens no vault, and its last words say so.
  scene.show(new Map([0, 1, 2].map((index) => [index, new Uint8Array(48).fill(7)])));
  scene.killEnclave();
  await until(() => /the enclave ended \((?!no last words)/.test(scene.said()));
  t.match(
    scene.said(),
    /the enclave ended \(PRECONDITION_FAILED: release set \d+ does not list this engine.*\); started again/,
  );
  t.equal(count('the enclave is ready again'), 1, 'it never was');

  scene.showImage();
  await until(() => isBack(2));
  t.match(await firstRun(node, scene.output), { verified: true, keyId: before.keyId });
  await node.stop();

  const log = readFileSync(join(scene.dir, 'enclave.log'), 'utf8');
  t.match(log, /"event":"init.booted"/);
  t.match(log, /"event":"init.exit","reason":"/, 'last words are kept');
  t.equal(fakeNitroCalls(scene.cli).filter((args) => args.includes('--debug-mode')).length, 0, 'never in debug mode');
});
