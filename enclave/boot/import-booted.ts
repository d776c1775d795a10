/**
 * What an engine in an enclave does when its boot document has a job: it takes over the vaults of another node, out of S3 and
 * under that node's own root key, and ends. SECRET: the signing key, keys and shares, which nobody outside gets to see.
 *
 * The parent chooses what is read. Whose it may be, governance has said: the signing key must be that of the address which
 * the governed record names as this party, and it must have signed what comes with it. docs/security/boot.md.
 */
import { charterDigest } from '../../attestation/governance/index.ts';
import { readNodeFiles } from '../../attestation/node/node-files.ts';
import { equalBytes, fromHex } from '../../common/bytes.ts';
import { systemClock } from '../../common/clock.ts';
import type { ConnectingOptions } from '../../common/connecting-agents.ts';
import type { BootImport, BootPlace } from '../../common/enclave-boot-import.ts';
import { KmsError } from '../../common/errors.ts';
import type { AwsConfig } from '../../common/node-config-aws.ts';
import type { NodeKey } from '../../native/engine/index.ts';
import { awsCredentials } from '../../storage/aws-credentials.ts';
import { openVaultStorage } from '../../storage/open-storage.ts';
import { formatAddress } from '../../wire/addresses.ts';
import { parseRequestId } from '../../wire/ids.ts';
import { configuredBackup } from '../backup/backup-of-config.ts';
import { bucketStore, type ForeignStore } from '../import/foreign-store.ts';
import { ForeignVault } from '../import/foreign-vault.ts';
import { importVault, openForeignIdentity } from '../import/import-vault.ts';
import { openSealedTarget } from '../import/open-sealed-target.ts';
import { foreignKeys } from '../keychain/aws-kms.ts';
import { bindCharter } from '../mesh/bind-charter.ts';
import { partyInRecord } from '../vault/party-in-record.ts';
import type { Booted } from './boot.ts';
import type { BootedOptions } from './start-booted.ts';

/**
 * See the file comment. The last line of the log says what came in.
 *
 * @throws KmsError `PRECONDITION_FAILED` if governance has named no address; `STATE_INVALID` if another one would move in; what
 *   `importVault`, AWS KMS and S3 throw.
 */
export async function importBooted(
  { config, log, parent }: Booted,
  { nsm, anchor, ca }: Pick<BootedOptions, 'nsm' | 'anchor' | 'ca'>,
  job: BootImport,
): Promise<void> {
  const { aws } = config;
  if (aws === undefined) throw new KmsError('CONFIG_INVALID', 'an import in an enclave needs [aws]');
  await using held = new AsyncDisposableStack();
  const files = await readNodeFiles(config, anchor);
  const { charter } = files;
  const document = await bindCharter(nsm, charter, { anchor, clock: systemClock });
  held.defer(() => nsm.close());
  const named = partyInRecord(files).address;
  if (named === undefined) throw unnamed(charter.party);

  const reach = { connect: parent.connect, ca };
  const open = (at: BootPlace): Promise<ForeignStore> => openBucket(at, { aws, log, held, ...reach });
  const keys = foreignKeys(job.root_key.spec, {
    ...{ nsm, charterDigest: charterDigest(charter), party: charter.party },
    keyArn: job.root_key.arn,
    credentials: awsCredentials(aws, reach),
    developerEndpoint: aws.developer_kms_endpoint,
    onRetry: (err, attempt) => log.warn({ event: 'kms.retry', attempt, err }),
    ...reach,
  });
  held.defer(() => keys.close());
  const rootKey = { keyArn: job.root_key.arn, keys };
  const source = new ForeignVault({ secret: await open(job.private), published: await open(job.public), rootKey });

  const onStep = (step: string): void => log.info({ event: 'import.step', step });
  onStep('opening');
  const firstKey = (): Promise<NodeKey> => openNamedIdentity(source, named, charter.party);
  // Before anything of this node is opened: who would move in.
  (await firstKey()).dispose();
  const name = `party ${charter.party}`;
  const openBackup = configuredBackup(config, { log, ...reach });
  const opening = { config, name, files, nsm, document, firstKey, openBackup, log, ...reach };
  const target = await openSealedTarget(opening);
  held.use(target);
  const { chain_id: chainId, verifying_contract: contract, name: domainName, version } = job.domain;
  const domain = { name: domainName, version, chainId: fromHex(chainId), verifyingContract: fromHex(contract) };
  const epochId = job.epoch === undefined ? undefined : parseRequestId(job.epoch, 'epoch');
  const { identity_only: identityOnly } = job;
  const done = await importVault({ source, target, epochId, identityOnly, domain, onlySigned: true, onStep });
  log.info({ event: 'import.done', ...done });
}

interface BucketOptions extends ConnectingOptions {
  readonly aws: AwsConfig;
  readonly log: Booted['log'];
  readonly held: AsyncDisposableStack;
}

/** Opens a vault of the other node; nothing is ever written there. */
async function openBucket({ bucket, prefix }: BootPlace, { held, ...options }: BucketOptions): Promise<ForeignStore> {
  const opened = await openVaultStorage({ s3: { bucket, prefix } }, { ...options, folderMode: 0o700, readOnly: true });
  held.defer(() => opened.close());
  return bucketStore(`s3://${bucket}/${prefix}`, opened);
}

async function openNamedIdentity(source: ForeignVault, named: Uint8Array, party: number): Promise<NodeKey> {
  const key = await openForeignIdentity(source);
  if (equalBytes(key.address, named)) return key;
  const [found, expected] = [formatAddress(key.address), formatAddress(named)];
  key.dispose();
  const message = `the vault is that of ${found}, and the governed record names ${expected} as party ${party}`;
  throw new KmsError('STATE_INVALID', `${message}: nobody else moves in`, { fault: 'other-node', found, expected });
}

function unnamed(party: number): KmsError {
  const message = `the governed record names no address for party ${party}: governance says first who moves in`;
  return new KmsError('PRECONDITION_FAILED', `${message} (arca record propose --party ${party}=0x…)`);
}
