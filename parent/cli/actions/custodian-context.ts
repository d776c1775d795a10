/**
 * What `arca custodian-context new|list|destroy` do, at one node: every party has its own backup and its own custodians.
 */

import { setupWords } from '../../../custodian/sheet.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import { decodeSetupMessage, encodeSetupPayload } from '../../../wire/custodian/setup-message.ts';
import { checkSharingShape } from '../../../wire/custodian/sharing.ts';
import { DEFAULT_CONTEXT_ID } from '../../../wire/ids.ts';
import { addressOfCompressedKey } from '../../../wire/signatures.ts';
import { randomId, readId } from '../client/keys.ts';
import type { NodeSelection } from '../client/session.ts';
import { withCustodians } from '../custodian/ask.ts';
import { readBase64 } from '../custodian/custodian-files.ts';
import { usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { parseNumber } from '../governance/numbers.ts';

interface NewOptions extends NodeSelection {
  readonly setup?: readonly string[] | undefined;
  readonly threshold: string;
  readonly id?: string | undefined;
  readonly mpcContext?: string | undefined;
}

/** `arca custodian-context new`. */
export async function runCustodianContextNew(options: NewOptions, output: Output): Promise<void> {
  const setups = await Promise.all(
    (options.setup ?? []).map(async (file) => decodeSetupMessage(await readBase64(file))),
  );
  const threshold = parseNumber(options.threshold, '--threshold');
  checkSharingShape({ custodians: setups.length, threshold });
  const contextId = options.id === undefined ? randomId() : readId(options.id);
  const mpcContextId = options.mpcContext === undefined ? DEFAULT_CONTEXT_ID : readId(options.mpcContext);
  const custodians = setups.map((setup) => ({
    role: setup.role,
    name: setup.name,
    address: formatAddress(addressOfCompressedKey(setup.verificationKey)),
    setupWords: setupWords(setup),
  }));
  const lines = custodians.map(
    ({ role, name, address, setupWords: words }) => `  ${role}  ${name}  ${address}  ${words}`,
  );
  output.note(['custodians, with the words that each of them read to you:', ...lines].join('\n'));
  const newCustodianContext = {
    custodianNodes: setups.map((setup) => ({
      custodianRole: BigInt(setup.role),
      name: setup.name,
      payload: encodeSetupPayload(setup),
    })),
    custodianContextId: { requestId: contextId },
    threshold,
  };
  await withCustodians(options, ({ call }) =>
    call('NewCustodianContext', { newCustodianContext, mpcContextId: { requestId: mpcContextId } }),
  );
  output.result(
    { contextId, mpcContextId, threshold, custodians },
    `${contextId}\nany ${threshold + 1} of ${setups.length} custodians give the backup key back; have each of them run 'arca custodian verify'`,
  );
}

/** `arca custodian-context list`. */
export async function runCustodianContextList(selection: NodeSelection, output: Output): Promise<void> {
  const { contexts, recovering } = await withCustodians(selection, (admin) => admin.contexts());
  const found = contexts.map((context) => ({
    contextId: context.contextId,
    mpcContextId: context.mpcContextId,
    threshold: context.threshold,
    custodians: context.custodians,
    active: context.active,
    spent: context.spent,
    created: new Date(Number(context.createdMs)).toISOString(),
  }));
  const lines = found.map(({ contextId, threshold, custodians, active, spent, created }) => {
    const state = spent ? 'spent: make a new one' : active ? 'in use' : 'kept';
    return `${contextId}  ${state}  ${threshold + 1} of ${custodians.length} (${custodians.join(', ')})  ${created}`;
  });
  if (recovering !== '') lines.push(`a recovery of ${recovering} is under way`);
  output.result({ contexts: found, recovering: recovering === '' ? null : recovering }, lines.join('\n') || 'none');
}

/** `arca custodian-context destroy ID --yes`. */
export async function runCustodianContextDestroy(
  id: string,
  options: NodeSelection & { readonly yes?: true | undefined },
  output: Output,
): Promise<void> {
  const contextId = readId(id);
  if (options.yes !== true) {
    throw usageFailure('the backup under this context can never be recovered again', 'say --yes if that is meant');
  }
  await withCustodians(options, ({ call }) => call('DestroyCustodianContext', { contextId: { requestId: contextId } }));
  output.result({ contextId, destroyed: true }, `destroyed custodian context ${contextId}`);
}
