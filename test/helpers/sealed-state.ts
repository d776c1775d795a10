/**
 * The whole state of a folder that was run with `--aws`, as somebody sees it who has all of it: every sealed object opened with the
 * emulator's root keys, without any engine, and a search for what was inside in every file.
 */
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { charterDigest, decodeCharter } from '../../attestation/governance/index.ts';
import { systemClock } from '../../common/clock.ts';
import { KmsError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { decryptBlob } from '../../emulators/aws-kms/ciphertext.ts';
import { Keys } from '../../emulators/aws-kms/keys.ts';
import type { Bucket } from '../../emulators/s3/bucket.ts';
import { StateFolder } from '../../emulators/s3/state-folder.ts';
import { decodeEpochData } from '../../enclave/contexts/epoch-data.ts';
import { type DataKeyring, encryptionContextOf } from '../../enclave/keychain/data-keys.ts';
import { openWhole } from '../../enclave/seal/open-object.ts';
import { peekHead } from '../../enclave/seal/peek-head.ts';
import { parsePrivatePath } from '../../enclave/vault/private-vault.ts';
import { storedObject } from '../../enclave/vault/stored-object.ts';
import { readVaultState } from '../../enclave/vault/vault-state.ts';
import { KeyShares } from '../../native/engine/index.ts';
import type { ObjectPath, Storage } from '../../storage/storage.ts';
import { decodePrivateSigKey } from '../../wire/signing-keys.ts';
import { present } from './present.ts';

/** What must be found nowhere, and where it was found sealed. */
export interface SealedSecret {
  /** `<prefix>/<name>`. */
  readonly name: string;
  readonly content: Uint8Array;
}

/**
 * Opens every object that the manifest of a party's private vault names, and returns what of them is secret: the node's key, the
 * keys of masks, and shares. Nothing runs on the folder.
 */
export async function openSealedState(
  dir: string,
  party: number,
  charterPath: string,
): Promise<readonly SealedSecret[]> {
  const bucket = present(new StateFolder(join(dir, 'aws/buckets')).open().find(({ name }) => name === 'kms-private'));
  const storage = readerOf(bucket, `PRIV-p${party}`);
  const charter = decodeCharter(readFileSync(charterPath));
  const owner = { purpose: 'private-object', charterDigest: charterDigest(charter), party } as const;
  const manifest = present((await readVaultState(storage)).manifest);
  const secrets: SealedSecret[] = [];
  for (const [name, { version, writing }] of manifest.entries) {
    if (writing === undefined) continue;
    const path = present(parsePrivatePath(name));
    const place = [...path, writing.place];
    const { signer, keychain } = present(await peekHead(storage, place));
    const asked = { ...storedObject(path, owner), signer, notBefore: version, digest: writing.digest };
    const { stream } = await storage.open(place);
    const keyring = emulatorsKeyring(dir, keychain);
    const content = await openWhole(stream, asked, { keyring, maxBytes: 2 ** 30 });
    for (const secret of secretsOf(path[0], content)) {
      secrets.push({ name: `PRIV-p${party}/${name}`, content: secret });
    }
  }
  return secrets;
}

function secretsOf(type: string, content: Uint8Array): readonly Uint8Array[] {
  switch (type) {
    case 'SigningKey':
      return [decodePrivateSigKey(content)];
    case 'EpochData':
      return decodeEpochData(content).keys;
    case 'FheKeyInfo': {
      using shares = KeyShares.fromBytes(content);
      return [blanked(content, [shares.metadata, shares.tag, shares.sharingId])];
    }
    default:
      return [];
  }
}

/** Returns a copy without what anyone may know. */
function blanked(content: Uint8Array, known: readonly Uint8Array[]): Uint8Array {
  const copy = Buffer.from(content);
  for (const bytes of known) {
    if (bytes.length === 0) continue;
    for (let at = copy.indexOf(bytes); at >= 0; at = copy.indexOf(bytes, at)) copy.fill(0, at, at + bytes.length);
  }
  return copy;
}

/** Unwraps as AWS KMS does once it is convinced. */
function emulatorsKeyring(dir: string, name: string): DataKeyring {
  const keys = new Keys({
    region: 'eu-central-1',
    account: '111122223333',
    clock: systemClock,
    random: systemRandom,
    statePath: join(dir, 'aws/kms-keys.json'),
  });
  return {
    name,
    generate: () => Promise.reject(new KmsError('PRECONDITION_FAILED', 'this keyring only opens')),
    unwrap: async ({ keyId, blob }, binding) => {
      const context = new Map(Object.entries(encryptionContextOf(binding)).sort(([a], [b]) => (a < b ? -1 : 1)));
      return new Uint8Array(decryptBlob(keys.find(keyId), blob, context));
    },
    close: () => {},
  };
}

function readerOf(bucket: Bucket, prefix: string): Pick<Storage, 'get' | 'list' | 'open'> {
  const find = (path: ObjectPath): Buffer => {
    const content = bucket.current([prefix, ...path].join('/'))?.data.content;
    if (content === undefined) throw new KmsError('NOT_FOUND', 'no such object');
    return content.subarray(0, content.byteLength);
  };
  return {
    get: async (path) => new Uint8Array(find(path)),
    open: async (path) => {
      const content = find(path);
      const stream = (async function* () {
        yield new Uint8Array(content);
      })();
      return { sizeBytes: content.byteLength, stream };
    },
    list: async (folder) => {
      const before = `${[prefix, ...folder].join('/')}/`;
      const names = bucket.keys().filter((key) => key.startsWith(before) && bucket.current(key) !== undefined);
      return [...new Set(names.map((key) => key.slice(before.length).split('/')[0] ?? ''))];
    },
  };
}

/** Bytes that must be found nowhere, 16 at a time. */
const WINDOW = 16;
const STEP = 8;

/** Returns a sentence for each file in which a piece of a secret stands: as it is, or as hexadecimal digits. */
export function findInFiles(files: readonly string[], secrets: readonly SealedSecret[]): readonly string[] {
  const owners = new Map<string, string>();
  const firsts = new Uint8Array(2 ** 24);
  for (const { name, content } of secrets) {
    for (let at = 0; at + WINDOW <= content.length; at += STEP) {
      const piece = Buffer.from(content.subarray(at, at + WINDOW));
      // Numbers, names and padding stand anywhere.
      if (new Set(piece).size < 12 || isText(piece)) continue;
      for (const form of [piece, Buffer.from(piece.toString('hex'))]) {
        owners.set(form.toString('latin1'), name);
        firsts[form.readUIntBE(0, 3)] = 1;
      }
    }
  }
  return files.flatMap((file) => {
    const found = new Set<string>();
    const bytes = readFileSync(file);
    for (let at = 0; at + WINDOW <= bytes.length; at++) {
      if (firsts[bytes.readUIntBE(at, 3)] === 0) continue;
      for (const size of [WINDOW, 2 * WINDOW]) {
        const owner = owners.get(bytes.toString('latin1', at, at + size));
        if (owner !== undefined) found.add(`${owner} in ${file}`);
      }
    }
    return [...found];
  });
}

function isText(piece: Buffer): boolean {
  return piece.every((byte) => byte >= 0x20 && byte < 0x7f);
}

/** Every file below a folder. */
export function filesBelow(dir: string): readonly string[] {
  return globSync('**/*', { cwd: dir })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile());
}
