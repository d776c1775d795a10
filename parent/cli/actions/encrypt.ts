/**
 * What `arca encrypt` does.
 */
import { writeFile } from 'node:fs/promises';
import { toHex } from '../../../common/bytes.ts';
import { parseFormat, parseType, parseValue, toCiphertextFile, typeName } from '../client/ciphertext-file.ts';
import { readDomain, readHex } from '../client/domain.ts';
import type { DomainOptions } from '../client/domain-options.ts';
import { encryptValues } from '../client/encrypt.ts';
import { chooseKey } from '../client/keys.ts';
import { type NodeSelection, withNode } from '../client/session.ts';
import type { Output } from '../framework/output.ts';

interface EncryptOptions extends NodeSelection, DomainOptions {
  readonly type: string;
  readonly format: string;
  readonly key?: string | undefined;
  readonly out?: string | undefined;
  readonly extraData: string;
}

/** `arca encrypt`. */
export async function runEncrypt(value: string, options: EncryptOptions, output: Output): Promise<void> {
  const fheType = parseType(options.type);
  const plain = { value: parseValue(value, fheType), fheType, format: parseFormat(options.format) };
  const context = { domain: readDomain(options), extraData: readHex(options.extraData, '--extra-data') };
  await withNode(options, async (session) => {
    const keyId = await chooseKey(session, options.key);
    const [item] = await encryptValues(session, keyId, [plain], context, output);
    if (item === undefined) return;
    const file = toCiphertextFile(item);
    if (options.out === undefined) {
      output.result(file, JSON.stringify(file));
      return;
    }
    await writeFile(options.out, `${JSON.stringify(file)}\n`);
    const { ciphertext: _bytes, ...facts } = file;
    const sizeBytes = item.ciphertext.byteLength;
    output.result(
      { ...facts, sizeBytes, file: options.out },
      `${options.out}: ${typeName(fheType)}, ${sizeBytes} bytes, handle ${toHex(item.handle)}`,
    );
  });
}
