/** What `--dir` trusts: the folder's releases, for the signatures that charter and record ask for, and no others. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeSignedReleaseSet, encodeSigned } from '../../../attestation/governance/index.ts';
import { openTrust } from '../../../parent/cli/attest/trust.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { attestationToml, testTrust } from '../../helpers/test-trust.ts';

t.test('a release set that governance has not approved is trusted by nobody', async (t) => {
  const dir = tempDir(t);
  const { config, charter } = await testTrust(dir);
  const text = `
developer_mode = true
[engine]
socket_path = "${config.engine.socket_path}"
[public_vault.storage.file]
path = "${join(dir, 'public')}"
[private_vault.storage.file]
path = "${join(dir, 'private')}"
[state]
path = "${join(dir, 'core.sqlite')}"
${attestationToml(dir)}`;
  writeFileSync(join(dir, 'node.toml'), text);
  const trust = await openTrust({ dir });
  t.ok(trust.developer);
  t.equal(trust.measurements?.(Date.now()).length, 3);
  const file = config.attestation.releases_path;
  const set = decodeSignedReleaseSet(readFileSync(file));
  for (const [why, changed] of [
    ['no approval', { ...set, approvals: [] }],
    ['the approval of a stranger', { ...set, approvals: set.signatures }],
  ] as const) {
    writeFileSync(file, encodeSigned(changed));
    await t.rejects(openTrust({ dir }), { code: 'APPROVAL_MISSING' }, why);
  }
  writeFileSync(file, encodeSigned({ ...set, signatures: [] }));
  await t.rejects(openTrust({ dir }), { code: 'PERMISSION_DENIED' }, `no release key, network ${charter.network}`);
});
