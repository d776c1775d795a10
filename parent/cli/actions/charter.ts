/**
 * What `arca charter create|show|check` do.
 */
import { createHash, X509Certificate } from 'node:crypto';
import {
  AWS_ANCHOR,
  type Charter,
  charterDigest,
  charterFor,
  charterToJson,
  checkCharter,
  encodeCharter,
  makeCharter,
  pcr16Of,
} from '../../../attestation/governance/index.ts';
import { equalBytes, fromHex, toHex } from '../../../common/bytes.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import type { Output } from '../framework/output.ts';
import { readChecked } from '../governance/checked.ts';
import { readPublicKey } from '../governance/key-files.ts';
import { parseNumber } from '../governance/numbers.ts';
import { readBytes, readObject, writeNewFile } from '../governance/object-files.ts';

interface CreateOptions {
  readonly from?: string | undefined;
  readonly network?: string | undefined;
  readonly party?: string | undefined;
  readonly governanceKey?: readonly string[] | undefined;
  readonly threshold?: string | undefined;
  readonly anchor?: string | undefined;
  readonly out: string;
  readonly force?: true | undefined;
}

/** `arca charter create`. */
export async function runCreate(options: CreateOptions, output: Output): Promise<void> {
  const base = options.from === undefined ? undefined : await readObject(options.from, 'charter');
  const keys = options.governanceKey ? await Promise.all(options.governanceKey.map(readPublicKey)) : undefined;
  const threshold = options.threshold === undefined ? undefined : parseNumber(options.threshold, '--threshold');
  const charter = makeCharter({
    network: options.network ?? base?.network ?? missing('--network ID'),
    party: options.party === undefined ? (base?.party ?? missing('--party N')) : parseNumber(options.party, '--party'),
    governance: {
      keys: keys ?? base?.governance.keys ?? missing('--governance-key KEY'),
      threshold: threshold ?? base?.governance.threshold ?? missing('--threshold M'),
    },
    anchor: options.anchor === undefined ? (base?.anchor ?? AWS_ANCHOR) : await readAnchor(options.anchor),
  });
  await writeNewFile(options.out, encodeCharter(charter), options.force === true);
  output.result(factsOf(charter), describe(charter));
}

/** `arca charter show`. */
export async function runShow(
  file: string,
  options: { readonly party?: string | undefined },
  output: Output,
): Promise<void> {
  const found = await readObject(file, 'charter');
  const charter = options.party === undefined ? found : charterFor(found, parseNumber(options.party, '--party'));
  checkCharter(charter);
  output.result(factsOf(charter), describe(charter));
}

/** `arca charter check`. */
export async function runCheck(file: string, output: Output): Promise<void> {
  const charter = await readChecked(file, 'charter', output);
  if (charter !== undefined) output.result({ ok: true, faults: [], ...factsOf(charter) }, `ok: ${describe(charter)}`);
}

function factsOf(charter: Charter) {
  return {
    charter: charterToJson(charter),
    digest: toHex(charterDigest(charter)),
    pcr16: toHex(pcr16Of(charter)),
  };
}

function describe(charter: Charter): string {
  const { network, party, governance, anchor } = charter;
  const root = equalBytes(anchor, AWS_ANCHOR) ? 'AWS Nitro' : 'developer root';
  return [
    `charter of party ${party} of network ${network}`,
    `  governance  ${governance.threshold} of ${governance.keys.length} keys must sign`,
    ...governance.keys.map((key) => `              ${toHex(key)}`),
    `  anchor      ${root}, SHA-256 ${toHex(anchor)}`,
    `  digest      ${toHex(charterDigest(charter))}`,
    `  PCR16       ${toHex(pcr16Of(charter))}`,
  ].join('\n');
}

/** A root as 64 hexadecimal digits, or a certificate in PEM or DER. */
async function readAnchor(text: string): Promise<Uint8Array> {
  if (/^[0-9a-fA-F]{64}$/.test(text)) return fromHex(text);
  const bytes = await readBytes(text);
  try {
    return Uint8Array.from(createHash('sha256').update(new X509Certificate(bytes).raw).digest());
  } catch (error) {
    const cure = 'give the root in PEM or DER, or its SHA-256 in hexadecimal digits';
    throw failure('REQUEST_INVALID', `${text} holds no certificate`, cure, {}, error);
  }
}

function missing(option: string): never {
  throw usageFailure(`needs ${option}`, 'give it, or --from a charter that has it');
}
