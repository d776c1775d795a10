/**
 * Ciphertext files of `arca encrypt`: JSON with the bytes in base64 and what a decryption request needs beside them.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { fromHex, toHex } from '../../../common/bytes.ts';
import { keccak256 } from '../../../wire/addresses.ts';
import { CIPHERTEXT_FORMATS, FHE_TYPES, fheTypeByName } from '../../../wire/fhe-types.ts';
import { parseRequestId, type RequestId } from '../../../wire/ids.ts';
import { failure, usageFailure } from '../framework/failure.ts';
import { FORMAT_NAMES } from './ciphertext-names.ts';

/** One ciphertext with what is known about it. */
export interface CiphertextItem {
  readonly keyId: RequestId;
  readonly fheType: number;
  /** Number of the ciphertext format. */
  readonly format: number;
  /** 32 bytes: how contracts and answers name it. */
  readonly handle: Uint8Array;
  readonly ciphertext: Uint8Array;
}

const FileSchema = z.strictObject({
  format: z.literal('arca-ciphertext'),
  version: z.literal(1),
  keyId: z.string(),
  fheType: z.string(),
  ciphertextFormat: z.string(),
  handle: z.string().regex(/^[0-9a-f]{2,64}$/),
  ciphertext: z.base64(),
});

/** Names of the types as options and files have them: `ebool`, `euint8`, … */
export const TYPE_NAMES: readonly string[] = FHE_TYPES.map(({ name }) => `e${name.toLowerCase()}`);

/** Returns `euint64` for 5. */
export function typeName(fheType: number): string {
  return TYPE_NAMES[fheType] ?? `type ${fheType}`;
}

/** Reads a type's name, in any case and with or without the `e`. @throws {@link KmsError} with exit code 2. */
export function parseType(text: string): number {
  const found = fheTypeByName(text);
  if (found !== undefined) return found.number;
  throw usageFailure(`'${text}' is no FHE type`, `choose one of ${TYPE_NAMES.join(', ')}`);
}

/** Reads a format's name, published names included. @throws {@link KmsError} with exit code 2. */
export function parseFormat(text: string): number {
  const wanted = text.toLowerCase().replaceAll('-', '');
  const index = CIPHERTEXT_FORMATS.findIndex((name) => name.toLowerCase() === wanted);
  if (index >= 0) return index;
  throw usageFailure(`'${text}' is no ciphertext format`, `choose one of ${FORMAT_NAMES.join(', ')}`);
}

/** Reads a value of a type: decimal, `0x…`, `true` or `false`. @throws {@link KmsError} with exit code 2. */
export function parseValue(text: string, fheType: number): bigint {
  const bits = FHE_TYPES[fheType]?.bits ?? 0;
  const value = text === 'true' ? 1n : text === 'false' ? 0n : /^(?:\d+|0x[0-9a-f]+)$/i.test(text) ? BigInt(text) : -1n;
  if (value >= 0n && value >> BigInt(bits) === 0n) return value;
  throw usageFailure(`'${text}' is no ${typeName(fheType)}`, `give a number of 0 to 2^${bits} - 1, or true or false`);
}

/** Returns the value of a little-endian plaintext as people write it. */
export function formatValue(bytes: Uint8Array, fheType: number): string {
  const value = BigInt(`0x${toHex(Uint8Array.from(bytes).reverse()) || '0'}`);
  return fheType === 0 ? String(value === 1n) : value.toString();
}

/**
 * Makes the handle of a ciphertext: its Keccak hash, with type and version in the last two bytes as handles of the
 * published contracts have them.
 */
export function handleOf(ciphertext: Uint8Array, fheType: number): Uint8Array {
  const handle = Uint8Array.from(keccak256(ciphertext));
  handle[30] = fheType;
  handle[31] = 0;
  return handle;
}

/** Returns the JSON object of a ciphertext file. */
export function toCiphertextFile(item: CiphertextItem): z.infer<typeof FileSchema> {
  return {
    format: 'arca-ciphertext',
    version: 1,
    keyId: item.keyId,
    fheType: typeName(item.fheType),
    ciphertextFormat: FORMAT_NAMES[item.format] ?? '',
    handle: toHex(item.handle),
    ciphertext: Buffer.from(item.ciphertext).toString('base64'),
  };
}

/** Reads a ciphertext file; `-` is standard input. @throws {@link KmsError} `REQUEST_INVALID` naming the file. */
export async function readCiphertextFile(path: string): Promise<CiphertextItem> {
  const cure = "give a file that 'arca encrypt --out FILE' wrote";
  let text: string;
  try {
    text = path === '-' ? await readStdin() : await readFile(path, 'utf8');
  } catch (error) {
    throw failure('REQUEST_INVALID', `cannot read ${path}`, cure, {}, error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw failure('REQUEST_INVALID', `${path} is no ciphertext file: it is not JSON`, cure);
  }
  const parsed = FileSchema.safeParse(value);
  if (!parsed.success) throw failure('REQUEST_INVALID', `${path} is no ciphertext file`, cure, {}, parsed.error);
  const file = parsed.data;
  return {
    keyId: parseRequestId(file.keyId, 'keyId'),
    fheType: parseType(file.fheType),
    format: parseFormat(file.ciphertextFormat),
    handle: fromHex(file.handle),
    ciphertext: Uint8Array.from(Buffer.from(file.ciphertext, 'base64')),
  };
}

/** Returns all of standard input as text. */
export async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
