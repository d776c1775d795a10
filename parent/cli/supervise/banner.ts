/**
 * What a node says when it is ready: where it listens, what it is, and what it must not be used for.
 */
import { formatMs } from '../framework/progress.ts';
import { BUCKETS } from './aws/aws-file.ts';
import type { EmulatedAws } from './aws/emulated-aws.ts';
import type { RunningNode } from './run-node.ts';

/** Printed wherever keys with test parameters are made. */
export const TEST_PARAMS_WARNING =
  "test parameters are NOT secure: for production parameters use '--params default' (a key takes about a minute)";

/** Returns the banner of a node that is ready. */
export function banner({ aws, dir, node, readyMs }: RunningNode): string {
  const lines = [
    '',
    `  arca ${node.version} is ready (${formatMs(readyMs)})`,
    '',
    `  clients           ${node.clientUrl}   (gRPC)`,
    `  public material   ${node.publicUrl}`,
    `  metrics, health   ${node.opsUrl}`,
    `  node address      ${node.address}`,
    ...(aws ? awsLines(aws) : []),
    `  state folder      ${dir}`,
    `  attested          yes: network ${node.network}, release ${node.release}`,
    `  policy            ${node.authorizationPolicy}${policyNote(node.authorizationPolicy)}`,
    '',
  ];
  return lines.join('\n');
}

/** Returns the lines that say where the vaults of a node or a quorum are, if that is emulated AWS. */
export function awsLines({ s3Url, kmsUrl }: Pick<EmulatedAws, 's3Url' | 'kmsUrl'>): string[] {
  return [
    `  public bucket     ${s3Url}/${BUCKETS.public}   (emulated S3; anyone may read)`,
    `  sealed vaults     ${s3Url}/${BUCKETS.private}, /${BUCKETS.backup}   (under keys of ${kmsUrl})`,
  ];
}

const AWAITS_RESTORE =
  "the private vault is lost, and this node serves nothing but its restore: 'arca restore', or 'arca recovery' with custodians";

/** Returns the warnings that belong to a node, the gravest first. */
export function nodeWarnings({ aws, isSealed, node, releaseWarnings }: RunningNode): string[] {
  const lost = node.awaitsRestore ? [node.restoreReason ?? AWAITS_RESTORE] : [];
  const developer = node.developerMode
    ? [
        `developer mode: ${secretsOf({ aws, isSealed })}attestation has a root of this machine; never use it for real data`,
      ]
    : [];
  return [...lost, ...developer, ...releaseWarnings, ...(node.params === 'test' ? [TEST_PARAMS_WARNING] : [])];
}

/** Where secrets lie open. Whose keys seal a vault that is not of `arca dev --aws`, nobody knows here. */
function secretsOf({ aws, isSealed }: Pick<RunningNode, 'aws' | 'isSealed'>): string {
  if (aws) return 'root keys stand in clear in the state of an emulator and ';
  return isSealed ? '' : 'keys stand in clear files and ';
}

function policyNote(policy: string): string {
  return policy === 'operator-trusted' ? ': the engine decrypts whatever this machine asks of it' : '';
}
