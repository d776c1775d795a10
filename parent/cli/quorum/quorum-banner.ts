/**
 * What a quorum says when it is ready: where its parties listen, and what it must not be used for.
 */
import { formatMs } from '../framework/progress.ts';
import { awsLines, TEST_PARAMS_WARNING } from '../supervise/banner.ts';
import type { RunningQuorum } from './running-quorum.ts';

/** Returns the banner of a quorum that is ready. */
export function quorumBanner({ aws, dir, threshold, parties, readyMs }: RunningQuorum): string {
  const [first] = parties;
  const last = parties.at(-1);
  if (first === undefined || last === undefined) return '';
  const { version, publicUrl, network, release, authorizationPolicy } = first.node;
  const span = (a: string, b: string): string => `${a} … ${new URL(b).port}`;
  const lost = parties.filter(({ node }) => node.awaitsRestore);
  const ready = lost.length === 0 ? `${parties.length}` : `${parties.length - lost.length} of ${parties.length}`;
  return [
    '',
    `  arca ${version}: ${ready} parties are ready (${formatMs(readyMs)})`,
    ...lost.flatMap(({ party, node }) => [
      ...(node.restoreReason === undefined ? [] : [`  party ${party}: ${node.restoreReason}`]),
      `  ${lostLine(dir, party)}`,
    ]),
    '',
    `  clients           ${span(first.node.clientUrl, last.node.clientUrl)}   (gRPC, one port a party)`,
    `  public material   ${publicUrl} … PUB-p${last.party}`,
    `  metrics, health   ${span(first.node.opsUrl, last.node.opsUrl)}`,
    `  keys              shared: any ${threshold + 1} parties hold one together, ${threshold} may lie or be down`,
    ...(aws ? awsLines(aws) : []),
    `  state folder      ${dir}   (party i: ${dir}/party-i)`,
    `  attested          yes: network ${network}, release ${release}`,
    `  policy            ${authorizationPolicy}: ${2 * threshold + 1} parties must be asked before any gives a share`,
    '',
  ].join('\n');
}

/** Returns what is to be done for a party that has lost its private vault. */
export function lostLine(dir: string, party: number): string {
  return `party ${party} waits for its restore: arca restore --dir ${dir}/party-${party}`;
}

/** Returns the warnings that belong to a quorum, the gravest first. */
export function quorumWarnings({ aws, parties, releaseWarnings }: RunningQuorum): string[] {
  const isTest = parties.some(({ node }) => node.params === 'test');
  const vaults = aws ? 'root keys stand in clear in the state of an emulator' : 'shares stand in clear files';
  return [
    `developer mode: all parties run on this machine, ${vaults} and attestation has a root of this machine; never use its keys for real data`,
    ...releaseWarnings,
    ...(isTest ? [TEST_PARAMS_WARNING] : []),
  ];
}
