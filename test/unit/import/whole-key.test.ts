/** Damaged client keys: refused by code, whatever was changed in them, or read as a key that is whole. */
import fc from 'fast-check';
import t from 'tap';
import { isKmsError } from '../../../common/errors.ts';
import { parseImportJob } from '../../../enclave/import/import-job.ts';
import { readWholeKey } from '../../../enclave/import/whole-key.ts';
import { generateKeySet } from '../../../native/engine/index.ts';
import { DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { clientKeyOf } from '../../helpers/client-key.ts';

const tag = new Uint8Array(32).fill(0xa1);

async function clientKeyWith(bytes: Uint8Array): Promise<Uint8Array> {
  const { key, objects } = await generateKeySet({ params: 'test', tag: bytes, layout: 'compressed' });
  for (const object of objects) object.bytes.dispose();
  const clientKey = clientKeyOf(key);
  key.dispose();
  return clientKey;
}

const clientKey = await clientKeyWith(tag);

/** Whether the bytes are read as a key; throws if they are refused by anything but the code for it. */
function isRead(bytes: Uint8Array): boolean {
  try {
    readWholeKey(bytes).dispose();
    return true;
  } catch (error) {
    if (isKmsError(error, 'KEY_INVALID')) return false;
    throw error;
  }
}

t.test('no change of bytes does more than refuse the key', async (t) => {
  let refused = 0;
  const at = fc.oneof(
    fc.nat(clientKey.length - 1),
    fc.nat(400),
    fc.nat(600).map((back) => clientKey.length - 1 - back),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(at, fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 }), (changes) => {
      const bytes = Uint8Array.from(clientKey);
      for (const [place, mask] of changes) bytes[place] = (bytes[place] ?? 0) ^ mask;
      if (!isRead(bytes)) refused += 1;
    }),
    { numRuns: 300 },
  );
  t.ok(refused > 50, `${refused} were refused`);
});

t.test('a key that is cut, or has something before or behind it, is refused', async (t) => {
  fc.assert(
    fc.property(fc.nat(clientKey.length - 1), (size) => !isRead(clientKey.subarray(0, size))),
    { numRuns: 100 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), (more) => {
      return !isRead(Uint8Array.of(...clientKey, ...more)) && !isRead(Uint8Array.of(...more, ...clientKey));
    }),
    { numRuns: 100 },
  );
  t.pass('200 cases');
});

t.test('tags of all kinds are found: none, those that end in zeros, and text', async (t) => {
  for (const bytes of [
    new Uint8Array(),
    new Uint8Array(32),
    new Uint8Array(32).fill(1, 0, 8),
    Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8),
    new TextEncoder().encode('a tag of another system'),
  ]) {
    using key = readWholeKey(await clientKeyWith(bytes));
    t.same(key.tag, bytes);
  }
});

t.test('a job is read strictly', async (t) => {
  const job = {
    configs: ['/a/node.toml'],
    clientKey: '/a/client.key',
    material: 'compressed',
    epochId: DEFAULT_EPOCH_ID,
    domain: { name: 'n', version: '1', chainId: '00'.repeat(32), verifyingContract: '11'.repeat(20) },
    extraData: '',
  };
  t.match(parseImportJob(JSON.stringify(job)), { configs: ['/a/node.toml'], material: 'compressed' });
  for (const [what, text] of [
    ['no JSON', '{'],
    ['nothing', ''],
    ['a list', '[]'],
    ['another field', JSON.stringify({ ...job, secret: 1 })],
    ['no nodes', JSON.stringify({ ...job, configs: [] })],
    ['too many nodes', JSON.stringify({ ...job, configs: Array(14).fill('/a') })],
    ['another layout', JSON.stringify({ ...job, material: 'expanded' })],
    ['half of the objects', JSON.stringify({ ...job, material: { publicKey: '/a' } })],
    ['a zero id', JSON.stringify({ ...job, keyId: '00'.repeat(32) })],
    ['a short chain id', JSON.stringify({ ...job, domain: { ...job.domain, chainId: '01' } })],
    ['odd digits', JSON.stringify({ ...job, extraData: 'abc' })],
  ] as const) {
    t.throws(() => parseImportJob(text), { code: 'REQUEST_INVALID' }, what);
  }
});

t.test('a job to take a vault over is read strictly', async (t) => {
  const job = {
    config: '/a/node.toml',
    privateFolder: '/b/PRIV',
    publicFolder: '/b/PUB',
    rootKey: { keyArn: 'arn', spec: 'asymm', awsFile: '/b/aws.toml' },
    identityOnly: false,
    domain: { name: 'n', version: '1', chainId: '00'.repeat(32), verifyingContract: '11'.repeat(20) },
  };
  t.match(parseImportJob(JSON.stringify(job)), { config: '/a/node.toml', rootKey: { spec: 'asymm' } });
  for (const [what, change] of [
    ['a client key', { clientKey: '/a' }],
    ['no public vault', { publicFolder: undefined }],
    ['no word on the rest of the vault', { identityOnly: undefined }],
    ['another kind of key', { rootKey: { ...job.rootKey, spec: 'aes' } }],
    ['a root key without account', { rootKey: { keyArn: 'arn', spec: 'symm' } }],
    ['a zero epoch', { epochId: '00'.repeat(32) }],
  ] as const) {
    t.throws(() => parseImportJob(JSON.stringify({ ...job, ...change })), { code: 'REQUEST_INVALID' }, what);
  }
});
