/**
 * What `arca kms policy create|lint|diff` do.
 */
import { type Charter, engineReleases, pcr16Of, type ReleaseSet } from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import { systemClock } from '../../../common/clock.ts';
import { diffKeyPolicies, type PolicyDifference } from '../../../wire/key-policy/diff.ts';
import {
  type KeyPolicyExpectation,
  lintKeyPolicy,
  type PolicyFinding,
  type PolicyRelease,
} from '../../../wire/key-policy/lint.ts';
import { makeKeyPolicy } from '../../../wire/key-policy/make.ts';
import { keyPolicyHash } from '../../../wire/key-policy/policy-text.ts';
import { EXIT, failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readObject, writeNewFile } from '../governance/object-files.ts';
import { readKeyFacts, readPolicyFile } from '../kms/key-files.ts';

interface ExpectationOptions {
  readonly charter: string;
  readonly releases: string;
  readonly release?: readonly string[] | undefined;
  readonly engineRole: string;
  readonly account?: string | undefined;
}

const ROLE_ARN = /^arn:aws[a-z-]*:iam::(\d{12}):role\/.+$/;

/** `arca kms policy create`. */
export async function runCreate(
  options: ExpectationOptions & { readonly adminRole: string; readonly out: string; readonly force?: true | undefined },
  output: Output,
): Promise<void> {
  const { charter, set } = await readTrust(options);
  const releases = named(engineReleases(set), options.release) ?? current(set);
  const account = accountOf(options);
  const { adminRole, engineRole } = options;
  const text = makeKeyPolicy({ account, engineRole, adminRole, releases, pcr16: pcr16Of(charter) });
  await writeNewFile(options.out, `${text}\n`, options.force === true);
  const hash = toHex(keyPolicyHash(text));
  const names = [...new Set(releases.map(({ release }) => release))];
  output.result(
    { policy: JSON.parse(text), hash, party: charter.party, network: charter.network, releases: names },
    [
      `policy for party ${charter.party} of network ${charter.network}, releases ${names.join(', ')}: ${options.out}`,
      `  hash  ${hash}`,
      'Nobody can change it once the key is made:',
      `  aws kms create-key --policy file://${options.out} --bypass-policy-lockout-safety-check`,
    ].join('\n'),
  );
}

/** `arca kms policy lint`. */
export async function runLint(
  file: string,
  options: ExpectationOptions & { readonly describe?: string | undefined; readonly grants?: string | undefined },
  output: Output,
): Promise<void> {
  const { charter, set } = await readTrust(options);
  const all = engineReleases(set);
  const releases = named(all, options.release) ?? current(set);
  const { engineRole, describe, grants } = options;
  const expected: KeyPolicyExpectation = {
    account: accountOf(options),
    engineRole,
    releases,
    alsoAllowed: all,
    pcr16: pcr16Of(charter),
  };
  const text = await readPolicyFile(file);
  const findings = lintKeyPolicy(text, expected, await readKeyFacts(describe, grants));
  const errors = findings.filter(({ severity }) => severity === 'error');
  const unchecked = [
    ...(describe === undefined ? ['origin, regions and state of the key (give --describe)'] : []),
    ...(grants === undefined ? ['grants (give --grants)'] : []),
  ];
  for (const what of unchecked) output.note(`not checked: ${what}`);
  const ok = errors.length === 0;
  const hash = ok ? toHex(keyPolicyHash(text)) : undefined;
  const verdict = ok ? `ok: engines of party ${charter.party} alone can use the key\n  hash  ${hash}` : '';
  output.result(
    { ok, findings, unchecked, ...(hash !== undefined && { hash }) },
    [...findings.map(lineOf), verdict].filter((line) => line !== '').join('\n'),
  );
  if (!ok) process.exitCode = EXIT.failed;
}

/** `arca kms policy diff`. */
export async function runDiff(first: string, second: string, output: Output): Promise<void> {
  const texts = await Promise.all([first, second].map(readPolicyFile));
  const [left = '', right = ''] = texts;
  const differences = diffKeyPolicies(left, right);
  const hashes = texts.map((text) => toHex(keyPolicyHash(text)));
  const equal = differences.length === 0;
  const same = `ok: engines take both for one policy\n  hash  ${hashes[0]}`;
  output.result({ equal, hashes, differences }, equal ? same : differences.map(differenceLine).join('\n'));
  if (!equal) process.exitCode = EXIT.failed;
}

async function readTrust(
  options: ExpectationOptions,
): Promise<{ readonly charter: Charter; readonly set: ReleaseSet }> {
  const charter = await readObject(options.charter, 'charter');
  const { body: set } = await readObject(options.releases, 'release-set');
  if (set.network === charter.network) return { charter, set };
  const message = `the release set is of network ${set.network}, the charter of ${charter.network}`;
  throw failure('REQUEST_INVALID', message, 'give both of one network');
}

/** Entries under the names given; undefined if none were given. */
function named(
  all: readonly PolicyRelease[],
  names: readonly string[] | undefined,
): readonly PolicyRelease[] | undefined {
  if (names === undefined) return undefined;
  const absent = names.filter((name) => !all.some(({ release }) => release === name));
  if (absent.length === 0) return all.filter(({ release }) => names.includes(release));
  const known = [...new Set(all.map(({ release }) => release))].join(', ') || 'none';
  const message = `the release set has no engine of release ${absent.join(', ')}`;
  throw failure('REQUEST_INVALID', message, `give releases of the set: ${known}`);
}

/** Those that have not ended. */
function current(set: ReleaseSet): readonly PolicyRelease[] {
  return engineReleases({ ...set, entries: set.entries.filter(({ notAfterMs }) => notAfterMs > systemClock.nowMs()) });
}

function accountOf({ account, engineRole }: ExpectationOptions): string {
  const owner = ROLE_ARN.exec(engineRole)?.[1];
  if (owner === undefined)
    throw usageFailure(`'${engineRole}' is no role`, 'give --engine-role arn:aws:iam::ACCOUNT:role/NAME');
  if (account === undefined) return owner;
  if (/^\d{12}$/.test(account)) return account;
  throw usageFailure(`'${account}' is no account`, 'give --account twelve digits');
}

function lineOf({ rule, severity, statement, message }: PolicyFinding): string {
  return `${severity}: ${rule}${statement === undefined ? '' : ` (statement ${statement})`}: ${message}`;
}

function differenceLine({ only, statement, field, value }: PolicyDifference): string {
  return `${only === 'first' ? '-' : '+'} ${statement === undefined ? '' : `${statement}: `}${field} = ${value}`;
}
