/**
 * What a statement that lets a key be used must say of the enclave: image and registers of one release, and the charter's.
 */
import { toHex } from '../../common/bytes.ts';
import { USE_ACTIONS } from './actions.ts';
import type { KeyPolicyExpectation, PolicyRelease, Report } from './lint.ts';
import { type PolicyCondition, type PolicyStatement, type PolicyText, readPolicyText } from './policy-text.ts';
import { matchesWildcard } from './wildcard.ts';

/** What names of conditions on attestation begin with, in lower case. */
export const ATTESTED = 'kms:recipientattestation:';
const EXACT_OPERATORS = ['StringEquals', 'StringEqualsIgnoreCase'];
const ZERO_PCR = '0'.repeat(96);

/** Whether an action pattern gives one of the actions; wildcards count, that they are refused is another finding. */
export function gives(statement: PolicyStatement, actions: readonly string[]): boolean {
  const { effect, actions: patterns, otherFields } = statement;
  if (effect !== 'Allow') return false;
  if (otherFields.includes('NotAction')) return true;
  return (patterns ?? []).some((pattern) =>
    actions.some((action) => matchesWildcard(pattern.toLowerCase(), action.toLowerCase())),
  );
}

/** Whether a statement lets somebody use the key. */
export const givesUse = (statement: PolicyStatement): boolean => gives(statement, USE_ACTIONS);

/** What an `Allow` of using the key must say: image and registers of one release, and the charter's. */
export function judgeUse(statement: PolicyStatement, expected: KeyPolicyExpectation, report: Report): void {
  const found = new Map<string, string>();
  for (const condition of statement.conditions) {
    if (condition.key.startsWith(ATTESTED)) readAttested(condition, found, statement, report);
  }
  const required = ['imagesha384', 'pcr0', 'pcr1', 'pcr2', 'pcr16'];
  const missing = required.filter((name) => !found.has(name));
  if (missing.length > 0) {
    const wanted = missing.map(shownName).join(', ');
    report('use-without-attestation', `lets the key be used without a condition on ${wanted}`, statement);
  }
  for (const [name, value] of found) {
    if (value === ZERO_PCR)
      report('zero-pcr', `${shownName(name)} is all zeros: that is every enclave in debug mode`, statement);
  }
  if (missing.length > 0) return;
  if (found.get('imagesha384') !== found.get('pcr0'))
    report('image-not-pcr0', 'ImageSha384 and PCR0 differ', statement);
  if (found.get('pcr16') !== toHex(expected.pcr16)) {
    report('charter', "PCR16 is not that of this party's charter", statement);
  }
  if (releaseOf(found, expected) === undefined) {
    report('unknown-measurement', 'PCR0, PCR1 and PCR2 are not those of one release of the release set', statement);
  }
  const strange = [...(statement.principals?.get('AWS') ?? [])].filter((name) => name !== expected.engineRole);
  for (const name of strange) report('other-principal', `${name} is not the engine's role`, statement, 'warning');
}

function readAttested(
  { operator, key, values }: PolicyCondition,
  found: Map<string, string>,
  statement: PolicyStatement,
  report: Report,
): void {
  const name = key.slice(ATTESTED.length);
  if (operator.endsWith('IfExists')) {
    report('if-exists', `${operator} holds when there is no document at all`, statement);
    return;
  }
  if (!EXACT_OPERATORS.includes(operator)) {
    report(
      'attestation-operator',
      `${operator} does not ask for one exact value; needs StringEqualsIgnoreCase`,
      statement,
    );
    return;
  }
  const [value, ...more] = values;
  if (value === undefined || more.length > 0 || found.has(name)) {
    // Registers of several releases in one statement could be mixed.
    report('several-values', `${shownName(name)} needs exactly one value: one statement for each release`, statement);
    return;
  }
  found.set(name, value.toLowerCase());
}

function releaseOf(
  found: ReadonlyMap<string, string>,
  { releases, alsoAllowed = [] }: KeyPolicyExpectation,
): PolicyRelease | undefined {
  return [...releases, ...alsoAllowed].find(({ pcrs }) =>
    [0, 1, 2].every((index) => hexOf(pcrs, index) === found.get(`pcr${index}`)),
  );
}

/** Returns a register's value in lower-case hexadecimal digits. */
export function hexOf(pcrs: ReadonlyMap<number, Uint8Array>, index: number): string | undefined {
  const value = pcrs.get(index);
  return value === undefined ? undefined : toHex(value);
}

function shownName(name: string): string {
  return name === 'imagesha384' ? 'ImageSha384' : name.replace(/^(?:nitrotpm)?pcr/, (prefix) => prefix.toUpperCase());
}

/**
 * Returns which registers of an enclave differ from what the policy's statements ask for, for the operator whose engine AWS
 * refused: the statement that fits best, one line for each register.
 */
export function policyMismatches(text: string, pcrs: ReadonlyMap<number, Uint8Array>): readonly string[] {
  let policy: PolicyText;
  try {
    policy = readPolicyText(text);
  } catch {
    return [];
  }
  const candidates = policy.statements.filter(givesUse).map(({ conditions }) =>
    conditions.flatMap(({ key, values }) => {
      const index =
        key === `${ATTESTED}imagesha384` ? 0 : Number(/^kms:recipientattestation:pcr(\d+)$/.exec(key)?.[1] ?? -1);
      const own = index < 0 ? undefined : (hexOf(pcrs, index) ?? 'absent');
      if (own === undefined || values.some((value) => value.toLowerCase() === own)) return [];
      const wanted = values.map((value) => value.toLowerCase().slice(0, 16)).join(' or ');
      const name = shownName(key.slice(ATTESTED.length));
      return [`${name} is ${own.slice(0, 16)}…, the policy wants ${wanted}…`];
    }),
  );
  return candidates.sort((a, b) => a.length - b.length)[0] ?? [];
}
