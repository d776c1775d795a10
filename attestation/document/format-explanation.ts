/** Writes an explanation as text: a tree of numbered checks, then the facts. For terminals; no control characters. */
import type { Check, CheckStatus } from './checks.ts';
import type { DocumentFacts, Explanation } from './explain.ts';

const MARK: Readonly<Record<CheckStatus, string>> = { passed: 'ok', failed: 'FAILED', 'not-reached': 'not reached' };

/** Returns an explanation as lines of text, without a line end after the last. */
export function formatExplanation(explanation: Explanation): string {
  const { verified, facts, anchor } = explanation;
  const lines = [
    headline(explanation),
    `Anchor: ${anchor}`,
    `Release: ${releaseLine(explanation)}`,
    '',
    ...explanation.checks.flatMap(formatGroup),
  ];
  lines.push(...formatComparisons(explanation));
  if (facts !== undefined) lines.push('', ...formatFacts(facts, verified));
  return lines.join('\n');
}

/** Without a failure it may still not hold: where something had to be compared, and nothing was named to compare with. */
function headline({ ok, checks }: Explanation): string {
  if (ok) return 'The document holds.';
  if (checks.some(({ status }) => status === 'failed')) return 'The document does NOT hold.';
  return 'No check failed, but not all could be made: the document is not known to hold.';
}

function releaseLine({ release, checks }: Explanation): string {
  const judged = checks.some(({ number, status }) => number === '6' && status !== 'not-reached');
  return release ?? (judged ? 'none of those given' : 'not asked for');
}

function formatGroup(group: Check): string[] {
  return [`${group.number} ${group.title}: ${MARK[group.status]}`, ...(group.checks ?? []).flatMap(formatCheck)];
}

/** Details of a failed check stand on lines of their own: there may be one for every PCR. */
function formatCheck({ number, title, status, detail }: Check): string[] {
  const line = `  ${number} ${title}: ${MARK[status]}`;
  if (detail === undefined) return [line];
  if (status !== 'failed') return [`${line} (${detail})`];
  return [line, ...detail.split('; ').map((part) => `      ${part}`)];
}

/** The release that it is, or all those that it is not: each PCR with both values. */
function formatComparisons({ release, comparisons }: Explanation): string[] {
  const shown = release === undefined ? comparisons : comparisons.filter((one) => one.pcrs.every(({ equal }) => equal));
  return shown.flatMap(({ release: name, role, pcrs }) => [
    '',
    `Measurement, expected of ${name} (${role}) and actual:`,
    ...pcrs.flatMap(({ pcr, expected, actual = 'missing', equal }) => [
      `  ${`PCR${pcr}`.padEnd(6)}${equal ? 'equal  ' : 'DIFFERS'}  ${expected}`,
      `                 ${actual}`,
    ]),
  ]);
}

function formatFacts(facts: DocumentFacts, verified: boolean): string[] {
  const unset = 'not set';
  const unread = 'cannot be read';
  return [
    verified ? 'What it says, signed:' : 'What it claims, NOT verified:',
    `  platform    ${facts.platform ?? unread}`,
    `  module      ${facts.moduleId ?? unread}`,
    `  signed at   ${facts.signedAt ?? unread}`,
    ...facts.pcrs.map(({ index, value }) => `  ${`PCR${index}`.padEnd(12)}${/^0+$/.test(value) ? 'zero' : value}`),
    'What it binds:',
    `  public key  ${facts.publicKey ?? unset}`,
    `  user data   ${facts.userData ?? unset}`,
    `  nonce       ${facts.nonce ?? unset}`,
    'Certificates:',
    ...facts.certificates.map(
      (certificate, index) => `  ${index + 1}  ${certificate.notBefore} to ${certificate.notAfter}`,
    ),
  ];
}
