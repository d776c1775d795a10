/**
 * What `arca encrypt` does.
 */
import { writeFile } from 'node:fs/promises';
import { toHex } from '../../../common/bytes.ts';
import {
  type CiphertextItem,
  parseFormat,
  parseType,
  parseValue,
  toCiphertextFile,
  typeName,
} from '../client/ciphertext-file.ts';
import { readDomain, readHex } from '../client/domain.ts';
import type { DomainOptions } from '../client/domain-options.ts';
import { encryptUnder, encryptValues } from '../client/encrypt.ts';
import { chooseKey } from '../client/keys.ts';
import { readPlace, withQuorumAt } from '../client/place.ts';
import type { PlaceOptions } from '../client/place-options.ts';
import { chooseQuorumKey, getQuorumKey } from '../client/quorum-keys.ts';
import { selectsQuorum } from '../client/quorum-session.ts';
import { type NodeSelection, withNode } from '../client/session.ts';
import type { Output } from '../framework/output.ts';

interface EncryptOptions extends NodeSelection, DomainOptions, Pick<PlaceOptions, 'context'> {
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
  const place = readPlace(options);
  const items = (await selectsQuorum(options))
    ? await withQuorumAt(options, place, async (quorum) => {
        const key = await getQuorumKey(quorum, await chooseQuorumKey(quorum, options.key), context);
        return await encryptUnder(key.session, key.facts, [plain], output);
      })
    : await withNode(options, async (session) =>
        encryptValues(session, await chooseKey(session, options.key), [plain], context, output),
      );
  for (const item of items) await hand(item, options.out, output);
}

async function hand(item: CiphertextItem, out: string | undefined, output: Output): Promise<void> {
  const file = toCiphertextFile(item);
  if (out === undefined) {
    output.result(file, JSON.stringify(file));
    return;
  }
  await writeFile(out, `${JSON.stringify(file)}\n`);
  const { ciphertext: _bytes, ...facts } = file;
  const sizeBytes = item.ciphertext.byteLength;
  output.result(
    { ...facts, sizeBytes, file: out },
    `${out}: ${typeName(item.fheType)}, ${sizeBytes} bytes, handle ${toHex(item.handle)}`,
  );
}
