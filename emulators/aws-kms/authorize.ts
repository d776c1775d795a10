/**
 * Who may do what with a key: key policy, grants and IAM policies together, as AWS combines them within one account.
 *
 * The key policy decides alone for principals that it names. Where it names the account (`…:root`), it hands over to IAM:
 * then anybody whose IAM policy allows it may, conditions of other statements notwithstanding. That is the usual way
 * in which attestation is got round by mistake, so it is emulated as it is.
 */
import { matchesWildcard } from '../../wire/key-policy/wildcard.ts';
import { AwsError } from './aws-error.ts';
import type { Grant } from './grants.ts';
import type { Caller } from './identities.ts';

import { conditionsHold, type RequestContext } from './policy-conditions.ts';
import type { PolicyDocument, Principals, Statement } from './policy-document.ts';

/** One request to be judged. */
export interface Request {
  readonly caller: Caller;
  /** `kms:Decrypt` and so on. */
  readonly action: string;
  readonly resource: string;
  readonly context: RequestContext;
}

type Named = 'directly' | 'by-account' | 'not';

/**
 * Returns when the request is allowed.
 *
 * @param o.policy - The key's; undefined for actions that concern no key.
 * @param o.grants - The key's grants that fit the request, conditions included.
 * @throws AwsError `AccessDeniedException` with AWS's reason.
 */
export function authorize(
  request: Request,
  o: { readonly policy: PolicyDocument | undefined; readonly grants?: readonly Grant[] },
): void {
  const { caller } = request;
  const keyStatements = o.policy?.statements ?? [];
  const identityStatements = caller.policies.flatMap(({ statements }) => statements);
  const fits = (statement: Statement): boolean => fitsRequest(statement, request);
  const denies = (statement: Statement): boolean => statement.effect === 'Deny' && fits(statement);
  const allows = (statement: Statement): boolean => statement.effect === 'Allow' && fits(statement);

  if (keyStatements.some((one) => denies(one) && named(one, caller) !== 'not')) {
    throw denied(request, 'with an explicit deny in a resource-based policy');
  }
  if (identityStatements.some(denies)) throw denied(request, 'with an explicit deny in an identity-based policy');
  const byIdentity = caller.isRoot || identityStatements.some(allows);
  if (o.policy === undefined) {
    if (byIdentity) return;
    throw denied(request, `because no identity-based policy allows the ${request.action} action`);
  }
  const naming = keyStatements.filter(allows).map((statement) => named(statement, caller));
  if (naming.includes('directly')) return;
  const isHandedOver = naming.includes('by-account');
  if (isHandedOver && byIdentity) return;
  if (o.grants !== undefined && o.grants.length > 0) return;
  const kind = isHandedOver ? 'identity-based' : 'resource-based';
  throw denied(request, `because no ${kind} policy allows the ${request.action} action`);
}

function denied({ caller, action, resource }: Request, why: string): AwsError {
  return new AwsError(
    'AccessDeniedException',
    `User: ${caller.arn} is not authorized to perform: ${action} on resource: ${resource} ${why}`,
  );
}

function fitsRequest(statement: Statement, { action, resource, context }: Request): boolean {
  const { actions, resources, conditions } = statement;
  const lower = action.toLowerCase();
  const hasAction = actions.patterns.some((pattern) => matchesWildcard(pattern.toLowerCase(), lower));
  const hasResource = resources.patterns.some((pattern) => matchesWildcard(pattern, resource));
  return hasAction !== actions.negated && hasResource !== resources.negated && conditionsHold(conditions, context);
}

/** How a statement of a key policy names a caller. */
function named(statement: Statement, caller: Caller): Named {
  const { principals } = statement;
  if (principals === undefined) return 'not';
  const how = namedIn(principals, caller);
  if (!principals.negated) return how;
  return how === 'not' ? 'directly' : 'not';
}

function namedIn({ aws }: Principals, caller: Caller): Named {
  if (aws.includes('*') || aws.some((principal) => caller.names.includes(principal))) return 'directly';
  const account = [caller.account, `arn:${caller.partition}:iam::${caller.account}:root`];
  if (!aws.some((principal) => account.includes(principal))) return 'not';
  return caller.isRoot ? 'directly' : 'by-account';
}
