/** Generations from keys that exist: new public objects, copies under the original id, decompression keys. */
import t from 'tap';
import { recoverTypedDataAddress } from 'viem';
import { toHex } from '../../../common/bytes.ts';
import { formatAddress } from '../../../wire/addresses.ts';
import type { EngineTestLink } from '../../helpers/engine-link.ts';
import { idOf } from '../../helpers/requests.ts';
import { describe, loadObjects, makeKey, testEngine } from '../../helpers/test-engine.ts';
import {
  DOMAIN,
  decompressionOnly,
  generate,
  idMessage,
  opens,
  shake,
  uncompressed,
  useExisting,
} from './key-generation-calls.ts';

t.test('new public objects for an existing key: the same secret, a tag of choice', async (t) => {
  const { link: open } = await testEngine(t);
  const link = await open();
  const original = await makeKey(t, link, idMessage(10));
  for (const [i, useExistingKeyTag] of [false, true].entries()) {
    const derived = await makeKey(t, link, { ...idMessage(20 + i), ...useExisting(10, { useExistingKeyTag }) });
    const ciphertext = await derived.evaluation.encrypt(99n, 5, 2);
    t.equal(await opens(link, derived.keyId, ciphertext), 99, 'opens under the new id');
    t.equal(await opens(link, original.keyId, ciphertext), 99, 'opens under the original id');
    const digests = new Set([...derived.objects, ...original.objects].map(({ digest }) => toHex(digest)));
    t.equal(digests.size, 4, 'the public objects are new');
    const publicKey = derived.objects.find(({ type }) => type === 'PublicKey');
    const tag = toHex(publicKey?.bytes.subarray(-32) ?? new Uint8Array());
    t.equal(tag, useExistingKeyTag ? original.keyId : derived.keyId, 'the tag is the last that a public key holds');
  }
});

t.test('a compressed key set is copied to the original id, before and after a restart', async (t) => {
  const first = await testEngine(t);
  const link = await first.link();
  const original = await makeKey(t, link, { ...idMessage(10), ...uncompressed });
  const copy = useExisting(10, { copyCompressedKeyToOriginal: true, useExistingKeyTag: true });
  await generate(link, { ...idMessage(20), ...copy });
  const copies = link.objects.slice(2);
  t.same(copies.map(({ type, id, replace }) => [type, id, replace]).sort(), [
    ['CompressedXofKeySet', idOf(10), false],
    ['CompressedXofKeySet', idOf(20), false],
    ['PublicKey', idOf(20), false],
  ]);
  const keySetDigests = copies.filter(({ type }) => type === 'CompressedXofKeySet').map(({ digest }) => toHex(digest));
  t.equal(new Set(keySetDigests).size, 1, 'both copies are the same bytes');
  const digestsOf = async (over: EngineTestLink) => {
    const { keys } = await describe(over);
    return keys.find(({ keyId }) => keyId === original.keyId)?.result?.keyDigests.map(({ keyType }) => keyType);
  };
  t.same(await digestsOf(link), ['PublicKey', 'CompressedXofKeySet'], 'the original is a compressed key set now');
  await generate(link, { ...idMessage(21), ...copy });
  t.ok(link.objects.at(-1)?.replace, 'a second copy takes the place of the first');
  await first.stop();
  const second = await testEngine(t, { folder: first.folder });
  const again = await second.link();
  t.same(await digestsOf(again), ['PublicKey', 'CompressedXofKeySet']);
  const keySet = link.objects.filter(({ id, type }) => id === idOf(21) && type !== 'PublicKey');
  const evaluation = await loadObjects(t, keySet);
  t.equal(await opens(again, original.keyId, await evaluation.encrypt(3n, 5, 2)), 3);
});

t.test('a decompression key is signed as such and survives a restart', async (t) => {
  const first = await testEngine(t);
  const link = await first.link();
  await generate(link, idMessage(10));
  await generate(link, idMessage(11));
  const before = link.objects.length;
  const result = await generate(link, { ...idMessage(30), ...decompressionOnly(10, 11) });
  const [object, ...others] = link.objects.slice(before);
  t.same([object?.type, object?.id, others.length], ['DecompressionKey', idOf(30), 0]);
  t.same(
    result.keyDigests.map(({ keyType, digest }) => [keyType, toHex(digest)]),
    [['DecompressionKey', toHex(shake('PDAT_KEY', object?.bytes ?? new Uint8Array()))]],
  );
  const signer = await recoverTypedDataAddress({
    domain: DOMAIN,
    types: {
      FheDecompressionUpgradeKey: [
        { name: 'decompressionUpgradeKeyDigest', type: 'bytes' },
        { name: 'extraData', type: 'bytes' },
      ],
    },
    primaryType: 'FheDecompressionUpgradeKey',
    message: { decompressionUpgradeKeyDigest: `0x${toHex(object?.digest ?? new Uint8Array())}`, extraData: '0x' },
    signature: `0x${toHex(result.externalSignature)}`,
  });
  t.equal(signer, formatAddress((await describe(link)).address));
  await t.rejects(generate(link, { ...idMessage(31), ...decompressionOnly(10, 30) }), { code: 'NOT_FOUND' });
  await first.stop();
  const again = await (await testEngine(t, { folder: first.folder })).link();
  const found = (await describe(again)).keys.find(({ keyId }) => keyId === idOf(30));
  t.same(found?.result, result);
  await t.rejects(generate(again, { ...idMessage(30), ...decompressionOnly(10, 11) }), { code: 'ALREADY_EXISTS' });
});
