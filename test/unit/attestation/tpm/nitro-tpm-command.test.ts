/**
 * The command `nitro-tpm-attest` as a source of documents, with small programs in its place: good ones, slow ones,
 * talkative ones and ones that are not there.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openNitroTpmAttester } from '../../../../attestation/attester/nitro-tpm.ts';
import { decodeNsmResponse, encodeNsmRequest } from '../../../../attestation/attester/nsm-codec.ts';
import { systemClock } from '../../../../common/clock.ts';
import { KmsError } from '../../../../common/errors.ts';
import { systemRandom } from '../../../../common/random.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';
import { instanceModule } from '../../../helpers/tpm-attester.ts';
import { fakeTpm } from '../../../helpers/tpm-fake.ts';
import { nitroTpmProxy } from '../../../helpers/tpm-proxy.ts';

/** A program in place of the command, and an attester that runs it. */
function withProgram(t: Teardown, body: string, timeoutMs = 10_000) {
  const folder = tempDir(t);
  const path = join(folder, 'nitro-tpm-attest');
  writeFileSync(path, `#!/bin/sh\nhere=${folder}\n${body}\n`);
  chmodSync(path, 0o755);
  const attester = openNitroTpmAttester({ via: 'command', path, timeoutMs });
  t.teardown(() => attester.close());
  return { attester, folder };
}

t.test('fields are given as files, and standard output is the document', async (t) => {
  const { nsm, verify } = instanceModule();
  const fields = { publicKey: Uint8Array.of(1), userData: Uint8Array.of(2, 0, 255), nonce: Uint8Array.of(3) };
  const answer = decodeNsmResponse(await nsm.handle(encodeNsmRequest({ kind: 'Attestation', ...fields })));
  if (answer.kind !== 'Attestation') throw new Error('no document');
  const { attester, folder } = withProgram(
    t,
    `echo "$@" >$here/arguments
     while [ $# -gt 0 ]; do cp "$2" "$here/got$1"; stat -c %a "$2" >>$here/modes; shift 2; done
     cat $here/document`,
  );
  writeFileSync(join(folder, 'document'), answer.document);
  t.equal(attester.kind, 'nitro-tpm');
  const document = await verify(await attester.attest(fields));
  t.equal(document.platform, 'nitro-tpm');
  t.same(document.userData, fields.userData);
  t.same([...readFileSync(join(folder, 'got--public-key'))], [1]);
  t.same([...readFileSync(join(folder, 'got--user-data'))], [2, 0, 255]);
  t.same([...readFileSync(join(folder, 'got--nonce'))], [3]);
  t.equal(readFileSync(join(folder, 'modes'), 'utf8'), '600\n600\n600\n');
  const [, file = ''] = readFileSync(join(folder, 'arguments'), 'utf8').split(' ');
  t.notOk(existsSync(file), 'the files are gone');
});

t.test('a field that is absent is not given', async (t) => {
  const { attester, folder } = withProgram(t, 'echo "$#" >$here/count; printf "\\204x"');
  await attester.attest({});
  t.equal(readFileSync(join(folder, 'count'), 'utf8'), '0\n');
});

t.test('the command sees none of this process’s environment', async (t) => {
  process.env.ARCA_TEST_SECRET = 'x';
  t.teardown(() => delete process.env.ARCA_TEST_SECRET);
  const { attester, folder } = withProgram(t, 'env >$here/env; printf "\\204x"');
  await attester.attest({});
  t.notMatch(readFileSync(join(folder, 'env'), 'utf8'), 'ARCA_TEST_SECRET');
});

t.test('a command that writes without end is stopped', async (t) => {
  const { attester } = withProgram(t, 'while :; do printf "\\204%01000d" 0; done');
  await t.rejects(attester.attest({}), { code: 'ATTESTATION_INVALID', message: /more than any document/ });
});

t.test('a command that writes nothing, or something else, is refused', async (t) => {
  for (const body of ['true', 'echo usage: nitro-tpm-attest', 'printf "\\322\\203"']) {
    await t.rejects(withProgram(t, body).attester.attest({}), { code: 'ATTESTATION_INVALID' }, body);
  }
});

t.test('a command that fails is told with its status and its words, control characters removed', async (t) => {
  const { attester } = withProgram(t, 'printf "no\\n\\033[31mTPM\\n" >&2; printf "\\204x"; exit 3');
  await t.rejects(attester.attest({}), { code: 'UNAVAILABLE', facts: { status: 3, said: 'no [31mTPM' } });
  const talkative = withProgram(t, 'i=0; while [ $i -lt 100 ]; do printf "%01000d" 0 >&2; i=$((i+1)); done; exit 1');
  const error = await talkative.attester.attest({}).catch((e: { facts: { said: string } }) => e);
  t.equal('facts' in error ? error.facts.said.length : 0, 2048, 'of a long text the beginning');
});

t.test('a slow command is killed, and an aborted one, too', async (t) => {
  await t.rejects(withProgram(t, 'exec sleep 60', 100).attester.attest({}), {
    code: 'UNAVAILABLE',
    message: /too long/,
  });
  const controller = new AbortController();
  const { attester, folder } = withProgram(t, 'touch $here/started; exec sleep 60');
  const asked = attester.attest({}, controller.signal);
  while (!existsSync(join(folder, 'started'))) await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  await t.rejects(asked, { code: 'CANCELLED' });
  await t.rejects(attester.attest({}, AbortSignal.abort()), { code: 'CANCELLED' });
});

t.test('commands run one at a time', async (t) => {
  const { attester, folder } = withProgram(
    t,
    'mkdir $here/lock || exit 9; touch $here/ran.$$; rmdir $here/lock; printf "\\204x"',
  );
  await Promise.all(Array.from({ length: 5 }, () => attester.attest({})));
  t.equal(readdirSync(folder).filter((name) => name.startsWith('ran.')).length, 5);
});

t.test('a closed attester gives nothing', async (t) => {
  const { attester } = withProgram(t, 'exec sleep 60');
  const running = attester.attest({});
  attester.close();
  await t.rejects(running, { code: 'UNAVAILABLE' });
  await t.rejects(attester.attest({}), { code: 'UNAVAILABLE' });
});

t.test('a command that is missing, no program, or named by a relative path is refused', async (t) => {
  const folder = tempDir(t);
  const open = (path: string) => openNitroTpmAttester({ via: 'command', path });
  await t.rejects(open(join(folder, 'none')).attest({}), { code: 'UNAVAILABLE', facts: { errno: 'ENOENT' } });
  mkdirSync(join(folder, 'folder'));
  await t.rejects(open(join(folder, 'folder')).attest({}), { code: 'UNAVAILABLE', facts: { errno: 'EACCES' } });
  t.throws(() => open('nitro-tpm-attest'), { code: 'CONFIG_INVALID' });
});

t.test('fields that are too long are refused before the command runs', async (t) => {
  const { attester, folder } = withProgram(t, 'touch $here/ran; printf "\\204x"');
  for (const fields of [
    { publicKey: new Uint8Array(1025) },
    { userData: new Uint8Array(513) },
    { nonce: new Uint8Array(513) },
  ]) {
    await t.rejects(attester.attest(fields), { code: 'REQUEST_INVALID' });
  }
  t.notOk(existsSync(join(folder, 'ran')));
});

t.test('where the TPM itself fails the command is asked, and asked first from then on', async (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'nitro-tpm-attest');
  writeFileSync(path, `#!/bin/sh\nprintf x >>${folder}/runs; printf "\\204x"\n`);
  chmodSync(path, 0o755);
  let asked = 0;
  const tpm = {
    send: async () => {
      asked++;
      throw new KmsError('PERMISSION_DENIED', 'no TPM for you');
    },
    close: () => {},
  };
  const common = { via: 'any', tpm, clock: systemClock, random: systemRandom } as const;
  const attester = openNitroTpmAttester({ ...common, command: { path } });
  t.teardown(() => attester.close());
  for (let i = 0; i < 3; i++) t.same([...(await attester.attest({}))], [0x84, 0x78]);
  t.equal(asked, 1);
  t.equal(readFileSync(join(folder, 'runs'), 'utf8'), 'xxx');
  await t.rejects(attester.attest({ nonce: new Uint8Array(513) }), { code: 'REQUEST_INVALID' });
  await t.rejects(attester.attest({}, AbortSignal.abort()), { code: 'CANCELLED' });
  const neither = openNitroTpmAttester({ ...common, command: { path: join(folder, 'none') } });
  await t.rejects(neither.attest({}), { code: 'UNAVAILABLE', message: /no TPM for you; the attestation command/ });
});

t.test('where the TPM works the command is not run', async (t) => {
  const { nsm, verify } = instanceModule();
  const tpm = nitroTpmProxy({ below: fakeTpm(), answer: (request) => nsm.handle(request), accepts: ['password'] });
  const command = { path: join(tempDir(t), 'none') };
  const attester = openNitroTpmAttester({ via: 'any', tpm, command, clock: systemClock, random: systemRandom });
  t.teardown(() => attester.close());
  t.equal((await verify(await attester.attest({}))).platform, 'nitro-tpm');
});
