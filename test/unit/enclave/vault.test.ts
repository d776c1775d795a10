/** The private vault: objects are whole and what their names say, or the engine refuses to start and names them. */
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { Catalogue } from '../../../enclave/vault/catalogue.ts';
import { clearKeeper } from '../../../enclave/vault/clear-keychain.ts';
import { PrivateVault } from '../../../enclave/vault/private-vault.ts';
import { FheKey } from '../../../native/engine/index.ts';
import { openMemoryStorage } from '../../../storage/memory-storage.ts';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_EPOCH_ID, parseRequestId, SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { encodeCrsGenMetadata } from '../../../wire/metadata.ts';
import { idOf } from '../../helpers/requests.ts';
import { keyGenCall, privateStorage, testEngine } from '../../helpers/test-engine.ts';

const first = await testEngine(t);
const link = await first.link();
await link.call(ENGINE_METHOD.keyGen, keyGenCall());
await first.stop();
const { folder } = first;
// A real CRS takes seconds; what is stored of it is its metadata.
const crsInfo = encodeCrsGenMetadata({
  crsId: parseRequestId(idOf(3)),
  crsDigest: new Uint8Array(32),
  maxNumBits: 64,
  extraData: new Uint8Array(),
  externalSignature: new Uint8Array(65),
  signatures: [],
});
const crsPath = ['CrsInfo', DEFAULT_EPOCH_ID, parseRequestId(idOf(3))] as const;
await new PrivateVault(clearKeeper(await privateStorage(folder))).put(crsPath, crsInfo);
const fileOf = (...path: string[]) => join(folder, 'private', 'PRIV', ...path);
const OBJECTS = [
  ['SigningKey', SIGNING_KEY_ID],
  ['CACert', SIGNING_KEY_ID],
  ['FhePrivateKey', DEFAULT_EPOCH_ID, idOf(2)],
  ['CrsInfo', DEFAULT_EPOCH_ID, idOf(3)],
];

/** Starts an engine on the folder and returns how it refused; undefined if it started. */
async function refusal(): Promise<{ code?: string; message?: string } | undefined> {
  const clean: (() => void | Promise<void>)[] = [];
  try {
    await testEngine({ teardown: (fn) => clean.push(fn) }, { folder });
    return undefined;
  } catch (error) {
    return error as { code?: string; message?: string };
  } finally {
    for (const fn of clean) await fn();
  }
}

t.test('objects lie where the format says, readable by this user alone', async (t) => {
  t.equal(await refusal(), undefined, 'an undamaged vault starts');
  for (const path of OBJECTS) {
    t.equal(statSync(fileOf(...path)).mode & 0o777, 0o600, path.join('/'));
    t.equal(statSync(dirname(fileOf(...path))).mode & 0o777, 0o700, `folder of ${path[0]}`);
  }
});

t.test('a cut, extended or changed object is refused by name', async (t) => {
  for (const path of OBJECTS) {
    const whole = readFileSync(fileOf(...path));
    const flipped = Buffer.from(whole);
    const at = flipped.byteLength - 60;
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    const damages = {
      cut: whole.subarray(0, -1),
      halved: whole.subarray(0, whole.byteLength >> 1),
      empty: Buffer.alloc(0),
      extended: Buffer.concat([whole, Buffer.of(0)]),
      changed: flipped,
    };
    for (const [how, bytes] of Object.entries(damages)) {
      writeFileSync(fileOf(...path), bytes);
      const { code, message = '' } = (await refusal()) ?? {};
      t.equal(code, 'STATE_INVALID', `${path[0]} ${how}`);
      t.ok(message.includes(path.join('/')), `${path[0]} ${how} is named: ${message}`);
    }
    writeFileSync(fileOf(...path), whole);
  }
  t.equal(await refusal(), undefined, 'the repaired vault starts');
});

t.test('an object under another name is refused', async (t) => {
  const from = fileOf('FhePrivateKey', DEFAULT_EPOCH_ID, idOf(2));
  const to = fileOf('FhePrivateKey', DEFAULT_EPOCH_ID, idOf(7));
  renameSync(from, to);
  const { code, message = '' } = (await refusal()) ?? {};
  t.equal(code, 'STATE_INVALID');
  t.ok(message.includes(idOf(7)), message);
  renameSync(to, from);
});

t.test('what does not belong into a vault is refused by name and not touched', async (t) => {
  const stray = fileOf('FhePrivateKey', DEFAULT_EPOCH_ID, 'notes.txt');
  writeFileSync(stray, 'x');
  t.match(await refusal(), { code: 'STATE_INVALID', message: /notes\.txt/ });
  rmSync(stray);
  const unknown = fileOf('ShareOfTheFuture');
  writeFileSync(unknown, 'x');
  t.match(await refusal(), { code: 'STATE_INVALID', message: /ShareOfTheFuture/ });
  t.ok(readdirSync(fileOf()).includes('ShareOfTheFuture'));
  rmSync(unknown);
});

t.test('a node outside of developer mode does not take keys that developer mode made', async (t) => {
  const vault = new PrivateVault(clearKeeper(await privateStorage(folder)));
  const { fromBytes } = FheKey;
  await t.rejects(Catalogue.load(vault, { fromBytes, developerKeys: false }), {
    code: 'STATE_INVALID',
    message: /made in developer mode/,
  });
  const catalogue = await Catalogue.load(vault, { fromBytes, developerKeys: true });
  t.equal(catalogue.keys()[0]?.key?.provenance, 'developer');
  catalogue.dispose();
});

t.test('a missing certificate is made again, a missing key is another node', async (t) => {
  rmSync(fileOf('CACert', SIGNING_KEY_ID));
  t.equal(await refusal(), undefined);
  t.ok(await (await privateStorage(folder)).has(['CACert', SIGNING_KEY_ID]));
});

t.test('nothing is overwritten unless asked to', async (t) => {
  const vault = new PrivateVault(clearKeeper(openMemoryStorage()));
  const path = ['CrsInfo', parseRequestId(idOf(1)), parseRequestId(idOf(2))] as const;
  await vault.put(path, Uint8Array.of(1));
  await t.resolves(vault.put(path, Uint8Array.of(1)), 'equal content is no conflict');
  await t.rejects(vault.put(path, Uint8Array.of(2)), { code: 'ALREADY_EXISTS' });
  await vault.put(path, Uint8Array.of(3), { replace: true });
  t.same(await vault.read(path, (content) => Uint8Array.from(content)), Uint8Array.of(3));
});

t.test('content is wiped once it was used', async (t) => {
  const vault = new PrivateVault(clearKeeper(openMemoryStorage()));
  const path = ['SigningKey', SIGNING_KEY_ID] as const;
  await vault.put(path, Uint8Array.of(1, 2, 3));
  const kept = await vault.read(path, (content) => content);
  t.same(kept, new Uint8Array(3));
});
