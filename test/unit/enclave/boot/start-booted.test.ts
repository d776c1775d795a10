/** A booted production engine: its root is a constant, its vault is sealed, and it looks at both before it asks anybody. */
import t from 'tap';
import { AWS_NITRO_ROOT } from '../../../../attestation/document/index.ts';
import { encodeCharter } from '../../../../attestation/governance/index.ts';
import { encodeBootDocument } from '../../../../common/enclave-boot.ts';
import type { BootImport } from '../../../../common/enclave-boot-import.ts';
import { operatorTrusted } from '../../../../enclave/authorization.ts';
import { boot } from '../../../../enclave/boot/boot.ts';
import { startBooted } from '../../../../enclave/boot/start-booted.ts';
import { fakeParent } from '../../../helpers/fake-parent.ts';
import { startTestAttester } from '../../../helpers/software-nsm.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';
import { CHARTER, DEV_CHARTER } from '../../attestation/governance/fixtures.ts';

const VAULTS = `
telemetry.log_level = "fatal"
aws = { region = "eu-west-1", instance_role = true, role_arn = "arn:aws:iam::123456789012:role/arca" }
public_vault.storage.s3.bucket = "public"
private_vault.storage.s3.bucket = "private"
`;
const SEALED = `${VAULTS}private_vault.keychain.aws_kms = {}\n`;

/** Starts a production engine, with a security module whose documents no production root has signed. */
async function start(t: Teardown, node: string, charter: Uint8Array, job?: BootImport) {
  const parent = fakeParent(t);
  await parent.serveBoot(() => encodeBootDocument({ node, charter, import: job }));
  const booted = await boot({ image: 'production', parent: parent.link, folder: tempDir(t), imageFolders: [] });
  const { nsm } = await startTestAttester({ role: 'engine' });
  const started = startBooted(booted, {
    developerMode: false,
    insecureOperations: false,
    testParameters: false,
    policy: operatorTrusted,
    nsm,
    anchor: AWS_NITRO_ROOT,
    ca: undefined,
    makeDefaultEpoch: false,
  });
  return { started, nsm, dials: parent.dials };
}

t.test('a charter of another root is refused', async (t) => {
  const { started, nsm } = await start(t, SEALED, encodeCharter(DEV_CHARTER));
  await t.rejects(started, { code: 'CONFIG_INVALID', message: /has another root than/ });
  t.same((await nsm.describePcr(16)).value, new Uint8Array(48), 'and nothing was measured');
});

t.test('a vault in clear is refused', async (t) => {
  const storage = VAULTS.replace('private_vault.storage.s3.bucket', 'public_vault.storage.s3.prefix');
  await t.rejects(start(t, storage, encodeCharter(CHARTER)), { message: /private_vault/ }, 'there is none in files');
  await t.rejects(start(t, VAULTS, encodeCharter(CHARTER)), { message: /needs \[private_vault\.keychain\]/ });
});

t.test('documents of another root end it, once the charter is measured and before anything is asked for', async (t) => {
  const { started, nsm, dials } = await start(t, SEALED, encodeCharter(CHARTER));
  await t.rejects(started, { code: 'ATTESTATION_INVALID' });
  t.notSame((await nsm.describePcr(16)).value, new Uint8Array(48));
  t.same((await nsm.describe()).lockedPcrs.length, 32, 'all registers are locked');
  t.equal(dials.length, 1, 'nobody was asked for anything but the boot document');
});

t.test('a job of the parent changes nothing of that order: root, charter and attestation come first', async (t) => {
  const job: BootImport = {
    format: 1,
    private: { bucket: 'old', prefix: 'PRIV' },
    public: { bucket: 'old', prefix: 'PUB' },
    root_key: { arn: 'arn:aws:kms:eu-west-1:111122223333:key/12345678', spec: 'symm' },
    identity_only: false,
    domain: { name: '', version: '', chain_id: '00'.repeat(32), verifying_contract: '00'.repeat(20) },
  };
  const other = await start(t, SEALED, encodeCharter(DEV_CHARTER), job);
  await t.rejects(other.started, { code: 'CONFIG_INVALID', message: /has another root than/ });
  const { started, nsm, dials } = await start(t, SEALED, encodeCharter(CHARTER), job);
  await t.rejects(started, { code: 'ATTESTATION_INVALID' });
  t.same((await nsm.describe()).lockedPcrs.length, 32, 'all registers are locked');
  t.equal(dials.length, 1, 'nobody was asked for anything but the boot document');
});
