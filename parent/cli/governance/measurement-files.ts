/**
 * Measurements from files: what `nitro-cli` and the image builder print (`{"PCR0": hex, …}`, also under
 * `Measurements`), the JSON of `arca attest explain` or `pcrs`, or an attestation document (bare, or as
 * `arca attest document` writes it), which is verified.
 */
import { X509Certificate } from 'node:crypto';
import { basename } from 'node:path';
import {
  AWS_NITRO_ROOT,
  type DocumentInput,
  type TrustAnchor,
  verifyArchivedDocument,
} from '../../../attestation/document/index.ts';
import { REQUIRED_PCRS, shapeOf } from '../../../attestation/governance/index.ts';
import type { Role } from '../../../attestation/role.ts';
import { fromHex } from '../../../common/bytes.ts';
import { failure } from '../framework/failure.ts';
import { readBytes } from './object-files.ts';

const PCR_BYTES = 48;
const MAX_DEPTH = 4;
const PCR_NAME = /^(?:PCR)?(\d{1,2})$/i;

/**
 * Reads the registers that identify what a role boots: those that its entries need, and no other, since the rest
 * differ from machine to machine.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if the file has no measurement; `ATTESTATION_INVALID` if it is a document
 *   that does not verify.
 */
export async function readMeasurement(
  path: string,
  role: Role,
  anchorPath: string | undefined,
): Promise<ReadonlyMap<number, Uint8Array>> {
  const bytes = await readBytes(path);
  const json = parseJson(bytes);
  const document = json === undefined ? documentInput(bytes) : documentOf(json);
  const all = document === undefined ? jsonPcrs(json) : await documentPcrs(document, path, anchorPath);
  if (all === undefined) {
    const cure = 'give a file with "PCR0": "…", the output of arca attest explain --json, or a document';
    throw failure('REQUEST_INVALID', `${path} has no measurement`, cure);
  }
  const needed: readonly number[] = REQUIRED_PCRS[shapeOf(role)];
  return new Map([...all].filter(([index]) => needed.includes(index)));
}

/**
 * Reads all registers that a JSON file names.
 *
 * @throws {@link KmsError} `REQUEST_INVALID` if it names none.
 */
export async function readRegisters(path: string): Promise<ReadonlyMap<number, Uint8Array>> {
  const registers = jsonPcrs(parseJson(await readBytes(path)));
  if (registers !== undefined) return registers;
  throw failure('REQUEST_INVALID', `${path} has no measurement`, 'give a file with "PCR0": "…"');
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

function documentInput(bytes: Buffer): DocumentInput {
  const text = bytes.toString('latin1').trim();
  return /^[0-9a-zA-Z+/=_\s-]+$/.test(text) ? text : Uint8Array.from(bytes);
}

/** What `arca attest document` writes. */
function documentOf(json: unknown): DocumentInput | undefined {
  const isWrapped = typeof json === 'object' && json !== null && 'document' in json;
  return isWrapped && typeof json.document === 'string' ? json.document : undefined;
}

async function documentPcrs(
  input: DocumentInput,
  path: string,
  anchorPath: string | undefined,
): Promise<ReadonlyMap<number, Uint8Array>> {
  const anchor = anchorPath === undefined ? AWS_NITRO_ROOT : await readAnchor(anchorPath);
  try {
    return (await verifyArchivedDocument(input, { anchor })).pcrs;
  } catch (error) {
    const cure =
      anchorPath === undefined ? 'for a developer document give --anchor developer-root.pem' : 'give its own root';
    throw failure(
      'ATTESTATION_INVALID',
      `${path} holds no measurement and no document under this root`,
      cure,
      {},
      error,
    );
  }
}

async function readAnchor(path: string): Promise<TrustAnchor> {
  try {
    return { name: basename(path), certificate: Uint8Array.from(new X509Certificate(await readBytes(path)).raw) };
  } catch (error) {
    throw failure('REQUEST_INVALID', `${path} holds no certificate`, 'give the root in PEM or DER', {}, error);
  }
}

/** Finds the first object or list, at most four levels deep, that has registers as members. */
function jsonPcrs(value: unknown, depth = 0): ReadonlyMap<number, Uint8Array> | undefined {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return undefined;
  const here = Array.isArray(value) ? value.flatMap(listedRegister) : Object.entries(value).flatMap(namedRegister);
  if (here.length > 0) return new Map(here);
  for (const item of Object.values(value)) {
    const found = jsonPcrs(item, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

type Register = readonly [index: number, value: Uint8Array];

/** `"PCR0": "…"` or `"0": "…"`. */
function namedRegister([name, item]: [string, unknown]): Register[] {
  const index = PCR_NAME.exec(name)?.[1];
  return index === undefined || !isRegister(item) ? [] : [[Number(index), fromHex(item)]];
}

/** `{"index": 0, "value": "…"}`, as an explanation has it. */
function listedRegister(item: unknown): Register[] {
  const isListed = typeof item === 'object' && item !== null && 'index' in item && 'value' in item;
  if (!isListed || typeof item.index !== 'number' || !isRegister(item.value)) return [];
  return [[item.index, fromHex(item.value)]];
}

function isRegister(item: unknown): item is string {
  return typeof item === 'string' && item.length === 2 * PCR_BYTES && /^[0-9a-fA-F]+$/.test(item);
}
