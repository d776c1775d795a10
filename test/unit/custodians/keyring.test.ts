/** The keychain of custodians: data keys under a key whose secret half is with other people. */
import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { custodianKeyring, recoveredKeyring } from '../../../enclave/keychain/custodians.ts';
import type { DataKeyBinding } from '../../../enclave/keychain/data-keys.ts';
import { parseRequestId } from '../../../wire/ids.ts';

const contextId = parseRequestId('a1'.repeat(32));
const { publicKey: ek, privateKey } = generateKeyPairSync('ml-kem-512');
const publicKey = new Uint8Array(ek.export({ format: 'raw-public' }));
const binding: DataKeyBinding = {
  purpose: 'backup-object',
  charterDigest: new Uint8Array(48).fill(7),
  party: 1,
  contextId: undefined,
  epochId: undefined,
  object: 'SigningKey/1',
};
const sealing = custodianKeyring(() => ({ contextId, publicKey }));

t.test(
  'a recovered key opens what was sealed under its context, and the keyring that seals opens nothing',
  async (t) => {
    const { dataKey, wrapped } = await sealing.generate(binding);
    t.equal(dataKey.byteLength, 32);
    t.equal(wrapped.keyId, `custodians:${contextId}`);
    t.notOk(Buffer.from(wrapped.blob).includes(Buffer.from(dataKey)), 'the data key does not stand in the blob');
    t.same(await recoveredKeyring({ contextId, privateKey }).unwrap(wrapped, binding), dataKey);
    await t.rejects(sealing.unwrap(wrapped, binding), { code: 'PRECONDITION_FAILED' });
  },
);

t.test('every object gets another key', async (t) => {
  const first = await sealing.generate(binding);
  const second = await sealing.generate(binding);
  t.not(Buffer.from(first.dataKey).toString('hex'), Buffer.from(second.dataKey).toString('hex'));
});

t.test('a wrapped key of another object, party, charter or purpose does not open', async (t) => {
  const { wrapped } = await sealing.generate(binding);
  const keyring = recoveredKeyring({ contextId, privateKey });
  const others: Partial<DataKeyBinding>[] = [
    { object: 'SigningKey/2' },
    { party: 2 },
    { charterDigest: new Uint8Array(48).fill(8) },
    { purpose: 'private-object' },
    { epochId: '01' },
    { contextId: '01' },
  ];
  for (const other of others) {
    const opened = keyring.unwrap(wrapped, { ...binding, ...other });
    await t.rejects(opened, { code: 'STATE_INVALID' }, Object.keys(other).join());
  }
});

t.test('a wrapped key that was changed, cut or made under another context or key does not open', async (t) => {
  const { wrapped } = await sealing.generate(binding);
  const keyring = recoveredKeyring({ contextId, privateKey });
  for (const at of [0, 400, 767, 768, wrapped.blob.byteLength - 1]) {
    const blob = wrapped.blob.slice();
    blob[at] = (blob[at] ?? 0) ^ 1;
    await t.rejects(keyring.unwrap({ ...wrapped, blob }, binding), { code: 'STATE_INVALID' }, `byte ${at}`);
  }
  for (const size of [0, 32, 768, 799]) {
    const blob = wrapped.blob.slice(0, size);
    await t.rejects(keyring.unwrap({ ...wrapped, blob }, binding), { code: 'STATE_INVALID' }, `cut to ${size}`);
  }
  await t.rejects(keyring.unwrap({ ...wrapped, keyId: 'clear' }, binding), { code: 'STATE_INVALID' });
  const other = generateKeyPairSync('ml-kem-512').privateKey;
  const foreign = recoveredKeyring({ contextId, privateKey: other });
  await t.rejects(foreign.unwrap(wrapped, binding), { code: 'STATE_INVALID' }, 'another key');
});

t.test('without a context in force nothing is sealed, and the error says what to do', async (t) => {
  const none = custodianKeyring(() => undefined);
  await t.rejects(none.generate(binding), { code: 'PRECONDITION_FAILED', message: /arca custodian-context new/ });
});

t.test('a recovery opens nothing after its end, and never seals', async (t) => {
  const { wrapped } = await sealing.generate(binding);
  const keyring = recoveredKeyring({ contextId, privateKey });
  await t.rejects(keyring.generate(binding), { code: 'PRECONDITION_FAILED' });
  keyring.close();
  await t.rejects(keyring.unwrap(wrapped, binding), { code: 'PRECONDITION_FAILED', message: /ended/ });
});
