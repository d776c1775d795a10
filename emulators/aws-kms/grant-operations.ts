/** CreateGrant and ListGrants. */
import { AwsError, invalid } from './aws-error.ts';
import { authorizeKey, needUsable, type Operation } from './emulator.ts';
import { type Fields, isObject, needText, readContext, readNumber, readText, readWords } from './fields.ts';
import { GRANT_OPERATIONS, type Grant } from './grants.ts';

const MAX_PAGE = 100;
const DEFAULT_PAGE = 50;
const PRINCIPAL = /^arn:aws[a-z-]*:(?:iam::\d{12}:(?:root|(?:user|role)\/.+)|sts::\d{12}:assumed-role\/.+\/.+)$/;
/** Operations that a grant on a symmetric key cannot allow. */
const NOT_SYMMETRIC = ['Sign', 'Verify', 'GetPublicKey', 'GenerateMac', 'VerifyMac', 'DeriveSharedSecret'];

const createGrant: Operation = (call) => {
  const { emulator, fields, caller } = call;
  const key = emulator.keys.find(needText(fields, 'KeyId'));
  const granteePrincipal = needText(fields, 'GranteePrincipal', { max: 256 });
  const retiringPrincipal = readText(fields, 'RetiringPrincipal', { max: 256 });
  const operations = readWords(fields, 'Operations', GRANT_OPERATIONS);
  const constraint = readConstraint(fields);
  const name = readText(fields, 'Name', { max: 256 });
  const seen: [string, readonly string[]][] = [
    ['kms:granteeprincipal', [granteePrincipal]],
    ['kms:grantoperations', operations],
    ...(retiringPrincipal === undefined
      ? []
      : [['kms:retiringprincipal', [retiringPrincipal]] satisfies [string, string[]]]),
  ];
  authorizeKey(call, key, { more: new Map(seen) });
  needUsable(key);
  for (const principal of [granteePrincipal, retiringPrincipal ?? granteePrincipal]) {
    if (!PRINCIPAL.test(principal))
      throw new AwsError('InvalidArnException', `ARN does not refer to a valid principal: ${principal}`);
  }
  if (operations.length === 0) throw invalid('[]', 'operations', 'Member must have length greater than or equal to 1');
  const strange = operations.find((operation) => key.spec === 'SYMMETRIC_DEFAULT' && NOT_SYMMETRIC.includes(operation));
  if (strange !== undefined) {
    throw new AwsError('ValidationException', `Operation ${strange} is not supported by the key spec ${key.spec}`);
  }
  const grant: Grant = {
    grantId: Buffer.from(emulator.random(32)).toString('hex'),
    name,
    granteePrincipal,
    retiringPrincipal,
    issuingAccount: `arn:${caller.partition}:iam::${caller.account}:root`,
    operations,
    constraint,
    createdAtMs: emulator.clock.nowMs(),
  };
  key.grants = [...key.grants, grant];
  emulator.keys.save();
  return { GrantId: grant.grantId, GrantToken: Buffer.from(emulator.random(96)).toString('base64') };
};

function readConstraint(fields: Fields): Grant['constraint'] {
  const value = fields.Constraints;
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw new AwsError('SerializationException', 'The request is not as its schema says.');
  const hasEquals = value.EncryptionContextEquals !== undefined;
  const hasSubset = value.EncryptionContextSubset !== undefined;
  if (hasEquals === hasSubset) {
    throw new AwsError(
      'ValidationException',
      'Constraints must have exactly one of EncryptionContextEquals and EncryptionContextSubset.',
    );
  }
  return hasEquals
    ? { kind: 'equals', pairs: readContext(value, 'EncryptionContextEquals') }
    : { kind: 'subset', pairs: readContext(value, 'EncryptionContextSubset') };
}

const listGrants: Operation = (call) => {
  const { emulator, fields } = call;
  const key = emulator.keys.find(needText(fields, 'KeyId'));
  authorizeKey(call, key);
  const limit = readNumber(fields, 'Limit', 1, MAX_PAGE) ?? DEFAULT_PAGE;
  const id = readText(fields, 'GrantId', { max: 128 });
  const grantee = readText(fields, 'GranteePrincipal', { max: 256 });
  const after = readText(fields, 'Marker', { max: 320 });
  const wanted = key.grants.filter(
    (grant) =>
      (id ?? grant.grantId) === grant.grantId && (grantee ?? grant.granteePrincipal) === grant.granteePrincipal,
  );
  const start = after === undefined ? 0 : wanted.findIndex(({ grantId }) => grantId === after) + 1;
  if (after !== undefined && start === 0) throw new AwsError('InvalidMarkerException', 'The marker is not valid.');
  const page = wanted.slice(start, start + limit);
  const isTruncated = start + limit < wanted.length;
  return {
    Grants: page.map((grant) => entryOf(grant, key.arn)),
    Truncated: isTruncated,
    ...(isTruncated ? { NextMarker: page.at(-1)?.grantId } : {}),
  };
};

function entryOf(grant: Grant, arn: string): Fields {
  const { constraint } = grant;
  const pairs = constraint && Object.fromEntries(constraint.pairs);
  return {
    KeyId: arn,
    GrantId: grant.grantId,
    Name: grant.name ?? '',
    CreationDate: grant.createdAtMs / 1000,
    GranteePrincipal: grant.granteePrincipal,
    ...(grant.retiringPrincipal === undefined ? {} : { RetiringPrincipal: grant.retiringPrincipal }),
    IssuingAccount: grant.issuingAccount,
    Operations: grant.operations,
    ...(constraint === undefined
      ? {}
      : {
          Constraints: {
            [constraint.kind === 'equals' ? 'EncryptionContextEquals' : 'EncryptionContextSubset']: pairs,
          },
        }),
  };
}

/** By name. */
export const GRANT_CALLS: Readonly<Record<string, Operation>> = { CreateGrant: createGrant, ListGrants: listGrants };
