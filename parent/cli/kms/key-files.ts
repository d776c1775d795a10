/**
 * What the AWS command line prints of a key, from files: its policy, its description, its grants. Nothing is secret.
 */

import type { KeyFacts } from '../../../wire/key-policy/lint.ts';
import { failure } from '../framework/failure.ts';
import { readBytes, readJson } from '../governance/object-files.ts';

/**
 * Reads a policy: bare, or as `aws kms get-key-policy` prints it. The text is handed on as it is, for the linter to judge.
 *
 * @throws {@link KmsError} `NOT_FOUND`, `REQUEST_INVALID` for a file that cannot be read.
 */
export async function readPolicyFile(path: string): Promise<string> {
  const text = (await readBytes(path)).toString('utf8');
  const wrapped = fieldsOf(parsed(text)).Policy;
  return typeof wrapped === 'string' ? wrapped : text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The linter says what is wrong with it.
  }
}

/**
 * Reads what AWS says of the key beside its policy. What a file leaves out is not taken as harmless.
 *
 * @param describe - File of `aws kms describe-key`.
 * @param grants - File of `aws kms list-grants`.
 * @throws {@link KmsError} as {@link readJson}; `REQUEST_INVALID` for a file that is something else.
 */
export async function readKeyFacts(describe: string | undefined, grants: string | undefined): Promise<KeyFacts> {
  return {
    ...(describe === undefined ? {} : await readDescription(describe)),
    ...(grants === undefined ? {} : await readGrants(grants)),
  };
}

async function readDescription(path: string): Promise<KeyFacts> {
  const metadata = fieldsOf(await readJson(path)).KeyMetadata;
  if (typeof metadata !== 'object' || metadata === null) {
    throw failure('REQUEST_INVALID', `${path} describes no key`, 'give what `aws kms describe-key` prints');
  }
  const fields = fieldsOf(metadata);
  const text = (name: string): string => (typeof fields[name] === 'string' ? fields[name] : 'unknown');
  return {
    origin: text('Origin'),
    multiRegion: fields.MultiRegion !== false,
    keySpec: text('KeySpec'),
    keyUsage: text('KeyUsage'),
    keyState: text('KeyState'),
    keyManager: text('KeyManager'),
    customKeyStore: fields.CustomKeyStoreId !== undefined || fields.XksKeyConfiguration !== undefined,
  };
}

async function readGrants(path: string): Promise<KeyFacts> {
  const { Grants: grants, Truncated: truncated } = fieldsOf(await readJson(path));
  if (!Array.isArray(grants)) {
    throw failure('REQUEST_INVALID', `${path} lists no grants`, 'give what `aws kms list-grants` prints');
  }
  return { grants: grants.length + (truncated === true ? 1 : 0) };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}
