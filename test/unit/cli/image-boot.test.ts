/** `arca image boot`, with a stand-in for the machine: what it shows, what it hands over, how it ends. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { PARENT_PORT } from '../../../common/enclave-boot.ts';
import type { EnclaveBackend, EnclaveStart } from '../../../images/boot/backend.ts';
import { runBoot } from '../../../parent/cli/actions/image-boot.ts';
import { createOutput } from '../../../parent/cli/framework/output.ts';
import { parentVsock } from '../../../vsock-proxy/parent-vsock.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const GONE = 'QEMU ended with exit code 0';

/** A machine whose enclave says some lines and asks for its document. */
function machine(folder: string, lines: readonly string[]) {
  const seen: { start?: EnclaveStart; document?: string } = {};
  const dialled = async (port: number, say: string): Promise<string> => {
    const socket = connect(join(folder, `vm.vsock_${port}`));
    socket.end(say);
    return await text(socket);
  };
  const run = async (start: EnclaveStart): Promise<{ reason: string }> => {
    if (readdirSync(folder).includes(`vm.vsock_${PARENT_PORT.boot}`)) {
      seen.document = await dialled(PARENT_PORT.boot, '');
    }
    await dialled(PARENT_PORT.logs, lines.map((line) => `${line}\n`).join(''));
    seen.start = start;
    return { reason: GONE };
  };
  const backend: EnclaveBackend = {
    name: 'qemu',
    check: async ({ memoryMb }) => [
      memoryMb > 64
        ? { name: 'memory', ok: true, found: 'enough' }
        : { name: 'memory', ok: false, found: '65 MiB needed', cure: 'give it more' },
    ],
    start: async (start) => {
      const vsock = parentVsock({ path: join(folder, 'vm.vsock') });
      await start.beforeBoot?.(vsock);
      return { id: 'i-1-enc2', cid: 16, vsock, ended: run(start), stop: async () => undefined };
    },
  };
  return { backend, seen };
}

/** Runs the command; what it wrote, and the exit code that it asked for. */
async function boot(
  lines: readonly string[],
  { memoryMb = 512, document }: { readonly memoryMb?: number; readonly document?: string } = {},
) {
  const folder = tempDir(t);
  const written: { out: string[]; err: string[] } = { out: [], err: [] };
  const output = createOutput({
    json: true,
    stdout: { write: (line) => written.out.push(line) > 0 },
    stderr: { write: (line) => written.err.push(line) > 0 },
  });
  const { backend, seen } = machine(folder, lines);
  const file = document === undefined ? undefined : join(tempDir(t), 'document.json');
  if (file !== undefined && document !== undefined) writeFileSync(file, document);
  const before = process.exitCode;
  process.exitCode = 0;
  try {
    await runBoot('engine.eif', { memoryMb, cpus: 2, document: file }, output, backend);
    return { out: written.out.join(''), err: written.err.join(''), seen, code: process.exitCode };
  } finally {
    process.exitCode = before;
  }
}

t.test('shows each line, and ends as the enclave did', async (t) => {
  const { out, err, code, seen } = await boot([
    '{"name":"init","event":"init.booted"}',
    'a line \u001b[31mthat paints',
    '{"name":"init","event":"init.exit","reason":"all done","status":0}',
  ]);
  t.same(JSON.parse(out), { id: 'i-1-enc2', reason: 'all done', status: 0 });
  t.equal(code, 0);
  t.match(err, /\d\.\d s {2}\{"name":"init","event":"init\.booted"\}/);
  t.notOk(err.includes('\u001b'), 'nothing that a terminal obeys');
  t.equal(seen.start?.debug, false);
  t.equal(seen.document, undefined, 'nobody answers on the port of the document');
});

t.test('an enclave that ends badly, or without a word, is a failure', async (t) => {
  const bad = await boot(['{"name":"init","event":"init.exit","reason":"rng_current is not nsm-hwrng","status":1}']);
  t.same(JSON.parse(bad.out), { id: 'i-1-enc2', reason: 'rng_current is not nsm-hwrng', status: 1 });
  t.not(bad.code, 0);
  const silent = await boot([]);
  t.same(JSON.parse(silent.out), { id: 'i-1-enc2', reason: GONE });
  t.not(silent.code, 0);
  const forged = await boot(['{"name":"engine","event":"init.exit","reason":"all done","status":0}']);
  t.not(forged.code, 0, "only init's own last words count");
});

t.test('hands the document over with its length', async (t) => {
  const { seen } = await boot([], { document: '{"format":1}' });
  t.equal(seen.document, '\0\0\0\f{"format":1}');
});

t.test('starts nothing where something is missing, and leaves nothing behind', async (t) => {
  const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('arca-boot-')).length;
  mkdirSync(tmpdir(), { recursive: true });
  const before = folders();
  await t.rejects(boot([], { memoryMb: 64 }), { code: 'PRECONDITION_FAILED', message: /memory: 65 MiB needed/ });
  await boot([]);
  t.equal(folders(), before);
});
