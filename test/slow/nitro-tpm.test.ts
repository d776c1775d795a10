/**
 * The NitroTPM attester over swtpm, a real TPM 2.0 in software: NV indices, sessions and the endorsement key are the
 * TPM's; the vendor command is a proxy's, answered from the software security module. `scripts/tpm-setup` fetches swtpm.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { openNitroTpmAttester } from '../../attestation/attester/nitro-tpm.ts';
import { TpmWriter } from '../../attestation/tpm/bytes.ts';
import { execute, passwordSession } from '../../attestation/tpm/command.ts';
import { ALGORITHM, COMMAND, HANDLE } from '../../attestation/tpm/constants.ts';
import {
  nvChunkBytes,
  nvDefine,
  nvHandles,
  nvRead,
  nvReadPublic,
  nvUndefine,
  nvWrite,
} from '../../attestation/tpm/nv.ts';
import { withSaltedSession } from '../../attestation/tpm/salted-session.ts';
import { tpmSocket } from '../../attestation/tpm/transport.ts';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { attesterOver, instanceModule } from '../helpers/tpm-attester.ts';
import { plainResponse } from '../helpers/tpm-messages.ts';
import { nitroTpmProxy, serveTpm } from '../helpers/tpm-proxy.ts';
import { findSwtpm, startSwtpm } from '../helpers/tpm-swtpm.ts';

const ROOT = join(import.meta.dirname, '../..');
const swtpm = findSwtpm() ?? '';
const options = { skip: swtpm === '' ? 'there is no swtpm: run scripts/tpm-setup' : false };

type Test = Parameters<typeof startSwtpm>[0];

async function newTpm(t: Test) {
  const tpm = tpmSocket({ path: await startSwtpm(t, swtpm) });
  t.teardown(() => tpm.close());
  return tpm;
}

t.test('an NV index is defined, written, read and removed', options, async (t) => {
  const tpm = await newTpm(t);
  const index = { handle: HANDLE.NV_FIRST, auth: systemRandom(64) };
  const chunk = await nvChunkBytes(tpm);
  t.ok(chunk >= 512 && chunk <= 2048, `${chunk} bytes at once`);
  t.same(await nvHandles(tpm, HANDLE.NV_FIRST), []);
  await nvDefine(tpm, index, 2048);
  await t.rejects(
    nvDefine(tpm, index, 2048),
    { code: 'UNAVAILABLE', facts: { code: '0x14c' } },
    'a handle is defined once',
  );
  t.same(await nvHandles(tpm, HANDLE.NV_FIRST), [index.handle]);
  const data = systemRandom(2048);
  for (let at = 0; at < 2048; at += chunk) await nvWrite(tpm, index, at, data.subarray(at, at + chunk));
  t.same(await nvRead(tpm, index, 100, 500), data.slice(100, 600));
  await t.rejects(nvRead(tpm, { ...index, auth: systemRandom(64) }, 0, 16), { code: 'UNAVAILABLE' }, 'a wrong value');
  await t.rejects(nvRead(tpm, index, 2040, 16), { code: 'UNAVAILABLE', facts: { code: '0x146' } }, 'behind the end');
  const area = await nvReadPublic(tpm, index.handle);
  t.equal(area.sizeBytes, 2048);
  t.equal(area.name.length, 66);
  await nvUndefine(tpm, index.handle);
  t.same(await nvHandles(tpm, HANDLE.NV_FIRST), []);
});

t.test('the TPM accepts our salted session, with a key made from the template', options, async (t) => {
  const tpm = await newTpm(t);
  const index = { handle: HANDLE.NV_FIRST, auth: systemRandom(64) };
  await nvDefine(tpm, index, 64);
  await nvWrite(tpm, index, 0, new Uint8Array(64).fill(5));
  const { name } = await nvReadPublic(tpm, index.handle);
  const parameters = new TpmWriter().u16(16).u16(8).finish();
  const read = (auth: Uint8Array) =>
    withSaltedSession(
      tpm,
      systemRandom,
      { code: COMMAND.NV_READ, names: [name, name], parameters, auth },
      async (s) => {
        const command = {
          code: COMMAND.NV_READ,
          handles: [index.handle, index.handle],
          authorizations: [s],
          parameters,
        };
        return Uint8Array.from((await execute(tpm, command)).parameters.sized());
      },
    );
  // A TPM has room for three loaded sessions and keys: more rounds show that none is left behind.
  for (let i = 0; i < 8; i++) t.same(await read(index.auth), new Uint8Array(16).fill(5), `round ${i}`);
  await t.rejects(read(systemRandom(64)), { code: 'UNAVAILABLE', facts: { code: '0x98e' } }, 'a wrong value');
});

t.test('the TPM accepts our salted session with a provisioned endorsement key', options, async (t) => {
  const tpm = await newTpm(t);
  await provisionEndorsementKey(tpm);
  const index = { handle: HANDLE.NV_FIRST, auth: systemRandom(64) };
  await nvDefine(tpm, index, 64);
  await nvWrite(tpm, index, 0, new Uint8Array(64).fill(6));
  const { name } = await nvReadPublic(tpm, index.handle);
  const parameters = new TpmWriter().u16(4).u16(0).finish();
  const seen: number[] = [];
  const counting = {
    ...tpm,
    send: (bytes: Uint8Array) => {
      seen.push(Buffer.from(bytes).readUInt32BE(6));
      return tpm.send(bytes);
    },
  };
  const authorized = { code: COMMAND.NV_READ, names: [name, name], parameters, auth: index.auth };
  const value = await withSaltedSession(counting, systemRandom, authorized, async (session) => {
    const handles = [index.handle, index.handle];
    const command = { code: COMMAND.NV_READ, handles, authorizations: [session], parameters };
    return Uint8Array.from((await execute(tpm, command)).parameters.sized());
  });
  t.same(value, new Uint8Array(4).fill(6));
  t.notOk(seen.includes(COMMAND.CREATE_PRIMARY), 'no other key was made');
});

t.test('documents come through a proxied TPM on a socket and verify, with either form', options, async (t) => {
  for (const accepts of [['password'], ['salted']] as const) {
    const below = await newTpm(t);
    const { nsm, verify } = instanceModule();
    const path = join(tempDir(t), 'nitro');
    await serveTpm(t, path, nitroTpmProxy({ below, answer: (request) => nsm.handle(request), accepts }));
    const attester = openNitroTpmAttester({
      via: 'tpm',
      tpm: tpmSocket({ path }),
      clock: systemClock,
      random: systemRandom,
    });
    t.teardown(() => attester.close());
    for (let i = 0; i < 3; i++) {
      const nonce = systemRandom(512);
      const publicKey = systemRandom(1024);
      const document = await verify(await attester.attest({ nonce, publicKey, userData: systemRandom(512) }));
      t.equal(document.platform, 'nitro-tpm');
      t.same(document.nonce, nonce, accepts[0]);
      t.same(document.publicKey, publicKey);
    }
    t.same(await nvHandles(below, HANDLE.NV_FIRST), [], 'no index is left in the TPM');
  }
});

t.test('no index is left in the TPM by failures and aborts', options, async (t) => {
  const below = await newTpm(t);
  const controller = new AbortController();
  let fault: 'refuse' | 'break' | 'abort' | 'none' = 'refuse';
  const before = (code: number) => {
    if (code !== COMMAND.NITRO_NSM_REQUEST) return undefined;
    if (fault === 'refuse') return plainResponse(0x101);
    if (fault === 'break') throw new Error('broken');
    if (fault === 'abort') controller.abort();
    return undefined;
  };
  const { attester, verify } = attesterOver({ below, before, accepts: ['password'] });
  await t.rejects(attester.attest({}));
  t.same(await nvHandles(below, HANDLE.NV_FIRST), [], 'after a refusal');
  fault = 'break';
  await t.rejects(attester.attest({}));
  t.same(await nvHandles(below, HANDLE.NV_FIRST), [], 'after a fault');
  fault = 'abort';
  await t.rejects(attester.attest({}, controller.signal), { code: 'CANCELLED' });
  fault = 'none';
  await verify(await attester.attest({}));
  t.same(await nvHandles(below, HANDLE.NV_FIRST), [], 'after an abort');
});

t.test('what a killed process leaves in the TPM is removed by the next one', options, async (t) => {
  const below = await newTpm(t);
  const { nsm, verify } = instanceModule();
  const reached = Promise.withResolvers<void>();
  let isHanging = true;
  const proxy = nitroTpmProxy({
    below,
    answer: (request) => nsm.handle(request),
    before: (code) => {
      if (code !== COMMAND.NITRO_NSM_REQUEST || !isHanging) return undefined;
      reached.resolve();
      return new Promise(() => {});
    },
  });
  const path = join(tempDir(t), 'nitro');
  await serveTpm(t, path, proxy);
  const program = `
    import { openNitroTpmAttester } from ${JSON.stringify(`${ROOT}/attestation/attester/nitro-tpm.ts`)};
    import { tpmSocket } from ${JSON.stringify(`${ROOT}/attestation/tpm/transport.ts`)};
    import { systemClock } from ${JSON.stringify(`${ROOT}/common/clock.ts`)};
    import { systemRandom } from ${JSON.stringify(`${ROOT}/common/random.ts`)};
    const tpm = tpmSocket({ path: ${JSON.stringify(path)} });
    await openNitroTpmAttester({ via: 'tpm', tpm, clock: systemClock, random: systemRandom }).attest({});`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'inherit' });
  await reached.promise;
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.same(await nvHandles(below, HANDLE.NV_FIRST), [HANDLE.NV_FIRST], 'its index stands');
  isHanging = false;
  let now = 0;
  const clock = { nowMs: () => now, monotonicMs: () => now };
  const next = openNitroTpmAttester({ via: 'tpm', tpm: tpmSocket({ path }), clock, random: systemRandom });
  t.teardown(() => next.close());
  await verify(await next.attest({}));
  now = 60_000;
  await verify(await next.attest({}));
  t.same(await nvHandles(below, HANDLE.NV_FIRST), [], 'it is gone');
});

/** Makes the default key and keeps it where a provisioned one is (TPM2_EvictControl). */
async function provisionEndorsementKey(tpm: ReturnType<typeof tpmSocket>): Promise<void> {
  const policy = Buffer.from('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa', 'hex');
  const template = new TpmWriter()
    .u16(ALGORITHM.RSA)
    .u16(ALGORITHM.SHA256)
    .u32(0x0003_00b2)
    .sized(policy)
    .u16(ALGORITHM.AES)
    .u16(128)
    .u16(ALGORITHM.CFB)
    .u16(ALGORITHM.NULL)
    .u16(2048)
    .u32(0)
    .sized(new Uint8Array(256))
    .finish();
  const { handles } = await execute(tpm, {
    code: COMMAND.CREATE_PRIMARY,
    handles: [HANDLE.ENDORSEMENT],
    authorizations: [passwordSession()],
    parameters: new TpmWriter().u16(4).u16(0).u16(0).sized(template).u16(0).u32(0).finish(),
    responseHandles: 1,
  });
  const key = handles[0] ?? HANDLE.NULL;
  await execute(tpm, {
    code: 0x120,
    handles: [HANDLE.OWNER, key],
    authorizations: [passwordSession()],
    parameters: new TpmWriter().u32(HANDLE.EK_RSA2048).finish(),
  });
  await execute(tpm, { code: COMMAND.FLUSH_CONTEXT, parameters: new TpmWriter().u32(key).finish() });
}
