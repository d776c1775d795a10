/**
 * Judges a key of AWS KMS and its policy: that attested enclaves of the right release and charter can use it, that nobody else
 * can, and that nobody can change this. Pure; engine, CLI and tests use this one function.
 *
 * Rules and their names: docs/formats/key-policy.md.
 */
import { isKmsError } from '../../common/errors.ts';
import { ADMIN_ACTIONS, CHECK_ACTIONS, FORBIDDEN_ACTIONS, USE_ACTIONS } from './actions.ts';
import { ATTESTED, gives, givesUse, hexOf, judgeUse } from './lint-use.ts';
import { type PolicyStatement, type PolicyText, readPolicyText } from './policy-text.ts';

/** Measurements of one release of the engine. */
export interface PolicyRelease {
  readonly release: string;
  /** SHA-384 values by register; 0, 1 and 2 at least. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

/** What a policy is judged against. */
export interface KeyPolicyExpectation {
  /** Twelve digits. */
  readonly account: string;
  /** ARN of the role under which engines call AWS. */
  readonly engineRole: string;
  /** Releases that must be able to use the key. */
  readonly releases: readonly PolicyRelease[];
  /** Releases that may use it as well: the others of a release set in force. */
  readonly alsoAllowed?: readonly PolicyRelease[] | undefined;
  /** Register 16 of an engine under this party's charter. */
  readonly pcr16: Uint8Array;
}

/** What AWS says of the key beside its policy; what is undefined is not judged. */
export interface KeyFacts {
  readonly origin?: string | undefined;
  readonly multiRegion?: boolean | undefined;
  readonly keySpec?: string | undefined;
  readonly keyUsage?: string | undefined;
  readonly keyState?: string | undefined;
  readonly keyManager?: string | undefined;
  readonly customKeyStore?: boolean | undefined;
  /** How many grants there are. */
  readonly grants?: number | undefined;
}

/** One thing that is not as it must be (`error`), or should be looked at (`warning`). */
export interface PolicyFinding {
  /** Stable name of the rule. */
  readonly rule: string;
  readonly severity: 'error' | 'warning';
  /** The statement's Sid, or `#` and its place; undefined for the key as a whole. */
  readonly statement: string | undefined;
  readonly message: string;
}

/** Key specs that roots can have. */
const ROOT_SPECS = ['SYMMETRIC_DEFAULT', 'RSA_4096'];

/** Notes one finding. */
export type Report = (rule: string, message: string, statement?: PolicyStatement, severity?: 'warning') => void;

/**
 * Returns everything that is wrong with a key, an empty list if nothing is.
 *
 * @param text - The policy as `GetKeyPolicy` returns it.
 * @param key - What `DescribeKey` and `ListGrants` say; only the policy is judged without it.
 */
export function lintKeyPolicy(
  text: string,
  expected: KeyPolicyExpectation,
  key: KeyFacts = {},
): readonly PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  const report: Report = (rule, message, statement, severity) =>
    void findings.push({ rule, severity: severity ?? 'error', statement: statement?.sid, message });
  judgeKey(key, report);
  let policy: PolicyText;
  try {
    policy = readPolicyText(text);
  } catch (error) {
    if (!isKmsError(error)) throw error;
    report('unreadable', error.message);
    return findings;
  }
  if (policy.version !== '2012-10-17') report('version', "needs the version '2012-10-17'");
  for (const name of policy.otherFields) report('unknown-field', `the policy has the unknown field ${name}`);
  for (const statement of policy.statements) judgeStatement(statement, expected, report);
  judgeWhole(policy.statements, expected, report);
  return findings;
}

function judgeKey(key: KeyFacts, report: Report): void {
  const { origin, multiRegion, keySpec, keyUsage, keyState, keyManager, customKeyStore, grants } = key;
  if (origin !== undefined && origin !== 'AWS_KMS') {
    report('origin', `key material comes from ${origin}: somebody has it outside; needs the origin AWS_KMS`);
  }
  if (multiRegion === true) report('multi-region', 'a key of several regions can be replicated under another policy');
  if (customKeyStore === true) report('custom-key-store', 'the key lies in a key store of its owner');
  if (keyManager !== undefined && keyManager !== 'CUSTOMER') report('key-manager', 'the key is managed by AWS');
  if (keySpec !== undefined && !ROOT_SPECS.includes(keySpec)) {
    report('key-spec', `the key is ${keySpec}; needs ${ROOT_SPECS.join(' or ')}`);
  }
  if (keyUsage !== undefined && keyUsage !== 'ENCRYPT_DECRYPT') report('key-usage', `the key is for ${keyUsage}`);
  if (keyState !== undefined && keyState !== 'Enabled') report('key-state', `the key is ${keyState}`);
  if (grants !== undefined && grants > 0) {
    report('grants', `${grants} grants let their holders past the policy; revoke them`);
  }
}

function judgeStatement(statement: PolicyStatement, expected: KeyPolicyExpectation, report: Report): void {
  const { effect, actions, resources, otherFields } = statement;
  for (const name of otherFields) {
    report('unknown-field', `${name} is not judged here: say who and what is meant by name`, statement);
  }
  if (effect === 'Deny') {
    // A denial cannot give anything; what it takes from the engine shows when the engine looks.
    report('deny', 'a denial is not needed: what is not allowed is refused', statement, 'warning');
    return;
  }
  if (effect !== 'Allow') report('effect', `the effect ${effect} is not known`, statement);
  if (resources === undefined || resources.length !== 1 || resources[0] !== '*') {
    report('resource', "needs the resource '*', which is this key", statement);
  }
  judgePrincipals(statement, expected, report);
  if (actions === undefined || actions.length === 0) report('no-action', 'names no action', statement);
  for (const action of actions ?? []) judgeAction(action, statement, report);
  if (givesUse(statement)) judgeUse(statement, expected, report);
}

function judgePrincipals(statement: PolicyStatement, { account }: KeyPolicyExpectation, report: Report): void {
  const { principals } = statement;
  if (principals === undefined || principals.size === 0) {
    report('no-principal', 'names nobody', statement);
    return;
  }
  for (const [kind, names] of principals) {
    if (kind !== 'AWS') report('principal-kind', `principals of kind ${kind} are not expected`, statement);
    for (const name of names) judgePrincipal(kind, name, statement, account, report);
  }
}

function judgePrincipal(kind: string, name: string, statement: PolicyStatement, account: string, report: Report): void {
  if (kind !== 'AWS') return;
  if (name.includes('*')) {
    report('wildcard-principal', 'is about everybody; needs the ARN of a role', statement);
    return;
  }
  if (/^(?:\d{12}|arn:[^:]*:iam::\d{12}:root)$/.test(name)) {
    report('account-principal', 'hands over to IAM policies of the account, which nobody sees here', statement);
  } else if (!/^arn:[^:]*:(?:iam|sts)::\d{12}:(?:role|user|assumed-role)\/.+$/.test(name)) {
    report('principal-kind', 'names a principal that is not the ARN of a role', statement);
  }
  const owner = /^arn:[^:]*:[^:]*::(\d{12}):/.exec(name)?.[1] ?? name;
  if (owner !== account)
    report('foreign-principal', `names the account ${owner}; this party's is ${account}`, statement);
}

function judgeAction(action: string, statement: PolicyStatement, report: Report): void {
  const lower = action.toLowerCase();
  if (/[*?]/.test(action)) {
    report('wildcard-action', `${action} allows more than it names`, statement);
    return;
  }
  const reason = FORBIDDEN_ACTIONS.get(lower);
  if (reason !== undefined) {
    const rule = lower === 'kms:putkeypolicy' ? 'policy-can-change' : 'forbidden-action';
    report(rule, `${action}: ${reason}`, statement);
    return;
  }
  const isKnown = [...USE_ACTIONS, ...ADMIN_ACTIONS].some((known) => known.toLowerCase() === lower);
  if (!isKnown) report('unknown-action', `${action} is not known to be harmless`, statement);
}

/** What the policy as a whole must give the engine. */
function judgeWhole(statements: readonly PolicyStatement[], expected: KeyPolicyExpectation, report: Report): void {
  const ofEngine = statements.filter((statement) => statement.principals?.get('AWS')?.includes(expected.engineRole));
  const unseen = CHECK_ACTIONS.filter(
    (action) => !ofEngine.some((one) => one.conditions.length === 0 && gives(one, [action])),
  );
  if (unseen.length > 0) report('cannot-check', `the engine's role needs ${unseen.join(', ')} to check the key itself`);
  for (const release of expected.releases) {
    const isNamed = ofEngine.some((statement) => givesUse(statement) && namesRelease(statement, release));
    if (!isNamed) report('release-missing', `release ${release.release} cannot use the key`);
  }
  if (expected.releases.length === 0) report('no-release', 'no release is expected to use the key');
}

function namesRelease({ conditions }: PolicyStatement, { pcrs }: PolicyRelease): boolean {
  return [0, 1, 2].every((index) =>
    conditions.some(
      ({ key, values }) =>
        key === `${ATTESTED}pcr${index}` && values.some((value) => value.toLowerCase() === hexOf(pcrs, index)),
    ),
  );
}
