/** Whose answers are believed: the address that a node attests, never one that it merely claims in silence. */

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { runVerify } from '../../../parent/cli/actions/verify.ts';
import { attestedAddress, describeAttested } from '../../../parent/cli/attest/attested-address.ts';
import { DEFAULT_DOMAIN } from '../../../parent/cli/client/domain-options.ts';
import { createOutput } from '../../../parent/cli/framework/output.ts';
import { type AttestingNode, RELEASE, startAttestingNode } from '../../helpers/attesting-node.ts';

const ADDRESS = '0x0909090909090909090909090909090909090909';

const selection = ({ dir, target, rootFile, releaseFile }: AttestingNode) => ({
  dir,
  url: 'http://127.0.0.1:1',
  publicUrl: `http://${target}/kms/PUB`,
  root: rootFile,
  expect: releaseFile,
});

t.test("holds for a node that proves it, and says when the root is a developer's", async (t) => {
  const node = await startAttestingNode(t);
  const attested = await attestedAddress(selection(node));
  t.strictSame(attested, { state: 'holds', address: ADDRESS, release: RELEASE, developer: true });
  t.match(describeAttested(attested), /DEVELOPER ROOT/);
});

t.test('fails for a node that lies', async (t) => {
  const node = await startAttestingNode(t, { served: { address: new Uint8Array(20) } });
  t.match(await attestedAddress(selection(node)), { state: 'fails', reason: /7\.3/ });
  const stale = await startAttestingNode(t, { nonce: new Uint8Array(32) });
  t.match(await attestedAddress(selection(stale)), { state: 'fails', reason: /7\.1/ });
});

t.test('is not available where there is nothing to ask or to judge by', async (t) => {
  const node = await startAttestingNode(t);
  const named = selection(node);
  const { expect: _expect, root: _root, ...unnamed } = named;
  t.match(await attestedAddress(unnamed), { state: 'not available', reason: /no trusted release was named/ });
  const nobody = { ...named, publicUrl: 'http://127.0.0.1:1/kms/PUB' };
  t.match(await attestedAddress(nobody), { state: 'not available', reason: /does not answer/ });
  t.match(await attestedAddress({ dir: join(node.dir, 'none') }), { state: 'not available', reason: /no such file/ });
  const old = createServer((_request, response) => response.writeHead(404).end());
  await new Promise<void>((resolve) => old.listen(0, '127.0.0.1', resolve));
  t.teardown(() => old.close());
  const { port } = old.address() as AddressInfo;
  const release = { ...named, publicUrl: `http://127.0.0.1:${port}/kms/PUB` };
  t.match(await attestedAddress(release), { state: 'not available', reason: /HTTP 404/ });
});

t.test('files that were named must be usable', async (t) => {
  const node = await startAttestingNode(t);
  const broken = join(node.dir, 'broken.json');
  writeFileSync(broken, '{');
  await t.rejects(attestedAddress({ ...selection(node), expect: broken }), { code: 'REQUEST_INVALID' });
  await t.rejects(attestedAddress({ ...selection(node), root: broken }), { code: 'REQUEST_INVALID' });
});

t.test('an answer is refused when its node lies about itself, before any signature is believed', async (t) => {
  const node = await startAttestingNode(t, { served: { address: new Uint8Array(20) } });
  const { name, version, chainId, verifyingContract } = DEFAULT_DOMAIN;
  const domain = { domainName: name, domainVersion: version, domainChain: chainId, domainContract: verifyingContract };
  const output = createOutput({ json: true, stdout: { write: () => undefined }, stderr: { write: () => undefined } });
  const verify = runVerify(
    undefined,
    { ...selection(node), ...domain, dir: join(node.dir, 'state'), extraData: '', key: '1'.repeat(64) },
    output,
  );
  await t.rejects(verify, { code: 'ATTESTATION_REJECTED', message: /7\.3/ });
});
