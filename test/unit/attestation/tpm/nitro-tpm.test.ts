/**
 * The NitroTPM attester over a TPM in memory: documents, both forms of authorization, and that the NV index is gone
 * after every way in which a request can end. test/slow/nitro-tpm.test.ts does the same over a real software TPM.
 */
import t from 'tap';
import { COMMAND, HANDLE, RC } from '../../../../attestation/tpm/constants.ts';
import { attesterOver, TPM_PCRS } from '../../../helpers/tpm-attester.ts';
import { fakeTpm } from '../../../helpers/tpm-fake.ts';
import { plainResponse } from '../../../helpers/tpm-messages.ts';

const FIELDS = {
  publicKey: new Uint8Array(1024).fill(1),
  userData: new Uint8Array(512).fill(2),
  nonce: new Uint8Array(512).fill(3),
};

t.test('a document carries its fields and verifies with the registers of the instance', async (t) => {
  const below = fakeTpm();
  const { attester, verify } = attesterOver({ below });
  t.equal(attester.kind, 'nitro-tpm');
  const document = await verify(await attester.attest(FIELDS));
  t.equal(document.platform, 'nitro-tpm');
  t.equal(document.instanceId, 'i-0123456789abcdef0');
  t.same(document.publicKey, FIELDS.publicKey);
  t.same(document.userData, FIELDS.userData);
  t.same(document.nonce, FIELDS.nonce);
  t.same(document.pcrs.get(4), TPM_PCRS.get(4));
  t.same(document.pcrs.get(17), new Uint8Array(48).fill(0xff), 'a register that nobody uses');
  t.equal(below.indices.size, 0, 'the index is gone');
});

t.test('fields are optional, and ones that are too long are refused before the TPM', async (t) => {
  const below = fakeTpm();
  const { attester, proxy, verify } = attesterOver({ below });
  const document = await verify(await attester.attest({}));
  t.equal(document.publicKey, undefined);
  const seen = proxy.codes.length;
  await t.rejects(attester.attest({ userData: new Uint8Array(513) }), { code: 'REQUEST_INVALID' });
  t.equal(proxy.codes.length, seen);
});

t.test('the salted session is used where the password is refused, and remembered', async (t) => {
  const below = fakeTpm();
  const { attester, proxy, verify } = attesterOver({ below, accepts: ['salted'] });
  for (let i = 0; i < 3; i++) await verify(await attester.attest(FIELDS));
  const count = (code: number) => proxy.codes.filter((seen) => seen === code).length;
  t.equal(count(COMMAND.NITRO_NSM_REQUEST), 4, 'the password was tried once');
  t.equal(count(COMMAND.START_AUTH_SESSION), 3);
  t.equal(count(COMMAND.FLUSH_CONTEXT), 3, 'every session is flushed');
  t.equal(below.indices.size, 0);
});

t.test('a TPM that takes neither form is told as it refused, and its index is gone', async (t) => {
  const below = fakeTpm();
  const { attester } = attesterOver({ below, accepts: [] });
  await t.rejects(attester.attest({}), { code: 'UNAVAILABLE', facts: { code: /^0x/ } });
  t.equal(below.indices.size, 0);
});

t.test('requests run one at a time, each with an index of its own', async (t) => {
  const below = fakeTpm({ room: 1 });
  const { attester, verify } = attesterOver({ below });
  const nonces = Array.from({ length: 5 }, (_, i) => new Uint8Array(32).fill(i));
  const documents = await Promise.all(nonces.map(async (nonce) => verify(await attester.attest({ nonce }))));
  t.same(
    documents.map(({ nonce }) => nonce),
    nonces,
  );
  t.equal(below.indices.size, 0);
});

t.test('handles that are taken are passed by, listed or not', async (t) => {
  const below = fakeTpm();
  below.plant(HANDLE.NV_FIRST, { size: 64 });
  let defines = 0;
  const before = (code: number) =>
    code === COMMAND.NV_DEFINE_SPACE && defines++ === 0 ? plainResponse(RC.NV_DEFINED) : undefined;
  const { attester, verify } = attesterOver({ below, before });
  await verify(await attester.attest({}));
  t.equal(defines, 2);
  t.same([...below.indices.keys()], [HANDLE.NV_FIRST]);
});

t.test('the index is gone whichever command fails, and the next request works', async (t) => {
  const steps = [COMMAND.NV_WRITE, COMMAND.NITRO_NSM_REQUEST, COMMAND.NV_READ, COMMAND.NV_READ_PUBLIC];
  for (const step of steps) {
    for (const fault of ['refuses', 'breaks'] as const) {
      const below = fakeTpm();
      let isFaulty = true;
      const before = (code: number) => {
        if (!isFaulty || code !== step) return undefined;
        if (fault === 'breaks') throw new Error('broken pipe');
        return plainResponse(0x101);
      };
      const { attester, verify } = attesterOver({ below, before, accepts: ['salted'] });
      await t.rejects(attester.attest({}), `${step.toString(16)} ${fault}`);
      t.equal(below.indices.size, 0, `${step.toString(16)} ${fault}: no index`);
      isFaulty = false;
      await verify(await attester.attest({}));
    }
  }
});

t.test('an index whose removal failed is removed before the next request', async (t) => {
  const below = fakeTpm();
  let removals = 0;
  const before = (code: number) =>
    code === COMMAND.NV_UNDEFINE_SPACE && removals++ === 0 ? plainResponse(0x101) : undefined;
  const { attester, verify } = attesterOver({ below, before });
  await verify(await attester.attest({}));
  t.equal(below.indices.size, 1, 'it stands');
  await verify(await attester.attest({}));
  t.equal(below.indices.size, 0);
});

t.test('an index that was defined although its answer was lost is removed', async (t) => {
  const below = fakeTpm();
  let isLost = true;
  const losing = {
    ...below,
    send: async (bytes: Uint8Array) => {
      const response = await below.send(bytes);
      if (isLost && Buffer.from(bytes).readUInt32BE(6) === COMMAND.NV_DEFINE_SPACE) throw new Error('lost');
      return response;
    },
  };
  const { attester, verify } = attesterOver({ below: losing });
  await t.rejects(attester.attest({}));
  t.equal(below.indices.size, 1);
  isLost = false;
  await verify(await attester.attest({}));
  t.equal(below.indices.size, 0);
});

t.test('what a killed process left behind is removed once it has stood for a minute, and no sooner', async (t) => {
  const below = fakeTpm();
  below.plant(HANDLE.NV_FIRST);
  below.plant(HANDLE.NV_FIRST + 1, { size: 100 });
  below.plant(HANDLE.NV_FIRST + 2, { attributes: 0x0006_0006 });
  let now = 1000;
  const { attester, verify } = attesterOver({ below, clock: { nowMs: () => 0, monotonicMs: () => now } });
  await verify(await attester.attest({}));
  now += 59_999;
  await verify(await attester.attest({}));
  t.equal(below.indices.size, 3, 'it may be another process’s request');
  now += 1;
  await verify(await attester.attest({}));
  t.same([...below.indices.keys()], [HANDLE.NV_FIRST + 1, HANDLE.NV_FIRST + 2], 'others are left alone');
});

t.test('another process’s index that comes and goes is never removed', async (t) => {
  const below = fakeTpm();
  let now = 0;
  const { attester, proxy, verify } = attesterOver({ below, clock: { nowMs: () => 0, monotonicMs: () => now } });
  for (let i = 0; i < 5; i++) {
    below.plant(HANDLE.NV_FIRST);
    await verify(await attester.attest({}));
    below.indices.delete(HANDLE.NV_FIRST);
    await verify(await attester.attest({}));
    now += 50_000;
  }
  t.equal(proxy.codes.filter((code) => code === COMMAND.NV_UNDEFINE_SPACE).length, 10, 'our own ten');
});

t.test('a full TPM says so, and how many indices look left behind', async (t) => {
  const below = fakeTpm({ room: 2 });
  below.plant(HANDLE.NV_FIRST);
  below.plant(HANDLE.NV_FIRST + 1);
  const { attester } = attesterOver({ below });
  await t.rejects(attester.attest({}), { code: 'RESOURCE_EXHAUSTED', facts: { leftBehind: 2 } });
});

t.test('an abort rejects at once and leaves no index, whenever it comes', async (t) => {
  for (const step of [COMMAND.GET_CAPABILITY, COMMAND.NV_DEFINE_SPACE, COMMAND.NV_WRITE, COMMAND.NV_READ]) {
    const below = fakeTpm();
    const controller = new AbortController();
    const before = (code: number) => {
      if (code === step) controller.abort();
      return undefined;
    };
    const { attester, verify } = attesterOver({ below, before });
    await t.rejects(attester.attest(FIELDS, controller.signal), { code: 'CANCELLED' }, step.toString(16));
    await verify(await attester.attest({}));
    t.equal(below.indices.size, 0, 'no index');
  }
  const { attester, proxy } = attesterOver({ below: fakeTpm() });
  await t.rejects(attester.attest({}, AbortSignal.abort()), { code: 'CANCELLED' });
  t.same(proxy.codes, [], 'nothing was asked');
});

t.test('close lets the running request end and its index go; what waits fails', async (t) => {
  const below = fakeTpm();
  const reached = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const before = async (code: number) => {
    if (code !== COMMAND.NITRO_NSM_REQUEST) return undefined;
    reached.resolve();
    await release.promise;
    return undefined;
  };
  const { attester, verify } = attesterOver({ below, before });
  const first = attester.attest({});
  const second = attester.attest({});
  second.catch(() => undefined);
  await reached.promise;
  attester.close();
  attester.close();
  release.resolve();
  await verify(await first);
  await t.rejects(second, { code: 'UNAVAILABLE' });
  await t.rejects(attester.attest({}), { code: 'UNAVAILABLE' });
  t.equal(below.indices.size, 0);
});

t.test('refusals of the security module are told, and answers that make no sense are refused', async (t) => {
  const answers: [string, Uint8Array, string][] = [
    ['refusal', Buffer.from('a1654572726f726d496e7465726e616c4572726f72', 'hex'), 'UNAVAILABLE'],
    ['another answer', Buffer.from('674c6f636b504352', 'hex'), 'ATTESTATION_INVALID'],
    ['no CBOR', new Uint8Array(8192).fill(0xff), 'ATTESTATION_INVALID'],
    ['no end', new Uint8Array(8192).fill(0x9f), 'ATTESTATION_INVALID'],
    ['longer than the index', Buffer.from('5affffffff', 'hex'), 'ATTESTATION_INVALID'],
    ['deep', new Uint8Array(8192).fill(0x81), 'ATTESTATION_INVALID'],
  ];
  for (const [why, answer, code] of answers) {
    const below = fakeTpm();
    const { attester } = attesterOver({ below, answer: async () => answer });
    await t.rejects(attester.attest({}), { code }, why);
    t.equal(below.indices.size, 0, `${why}: no index`);
  }
});

t.test('a busy TPM is asked again, and one that stays busy is given up', async (t) => {
  let busy = 3;
  const before = (code: number) => (code === COMMAND.NV_WRITE && busy-- > 0 ? plainResponse(RC.RETRY) : undefined);
  const below = fakeTpm();
  const { attester, verify } = attesterOver({ below, before });
  await verify(await attester.attest({}));
  busy = Number.POSITIVE_INFINITY;
  await t.rejects(attester.attest({}), { code: 'UNAVAILABLE', facts: { code: '0x922' } });
  t.equal(below.indices.size, 0);
});
