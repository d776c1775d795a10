/**
 * SIGKILL at every write boundary of a server that starts on an empty storage (lease, key, manifest), writes, replaces, removes
 * and seals anew: the next start finds what was done, or that and the one step that was under way; never anything else.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { toHex } from '../../common/bytes.ts';
import { isKmsError } from '../../common/errors.ts';
import type { PrivatePath, PrivateVault } from '../../enclave/vault/private-vault.ts';
import { openFileStorage } from '../../storage/file-storage.ts';
import type { Storage } from '../../storage/storage.ts';
import { startS3 } from '../helpers/s3.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { openVault } from '../unit/vault/sealed-scene.ts';
import { CHANGED, FIRST, OBJECT, OTHER, SECOND } from './vault-crash-objects.ts';

const CHILD = fileURLToPath(new URL('./vault-crash-child.ts', import.meta.url));
const LAST = 'closed';

type State = readonly [object: Uint8Array | undefined, other: Uint8Array | undefined];
/** What the vault holds once so many steps are done. */
const STATES: readonly State[] = [
  [undefined, undefined],
  [undefined, undefined],
  [FIRST, undefined],
  [SECOND, undefined],
  [SECOND, CHANGED],
  [undefined, CHANGED],
  [undefined, CHANGED],
  [undefined, CHANGED],
];

/** Runs a server to its end. @returns The lines that it wrote. */
async function runServer(args: readonly string[], onStart: (kill: () => void) => void = () => {}): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  onStart(() => void child.kill('SIGKILL'));
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (child.signalCode !== 'SIGKILL' && child.exitCode !== 0)
    throw new Error(`the server ended with ${child.exitCode}`);
  return output.split('\n').filter((line) => line !== '');
}

async function readOf(vault: PrivateVault, path: PrivatePath): Promise<Uint8Array | undefined> {
  try {
    return await vault.read(path, (content) => Uint8Array.from(content));
  } catch (error) {
    if (isKmsError(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/** The next start over what a killed server left. */
async function check(t: Test, storage: Storage, lines: readonly string[], where: string): Promise<void> {
  const { vault, key, close } = await openVault(t, { storage, needsFence: false });
  const [address] = lines;
  if (address !== undefined) t.equal(toHex(key?.address ?? new Uint8Array(0)), address, `${where}: the same node`);
  const found = [await readOf(vault, OBJECT), await readOf(vault, OTHER)];
  const may = STATES.slice(lines.length, lines.length + 2);
  const isKnown = may.some((state) => state.every((content, i) => isSame(content, found[i])));
  t.ok(isKnown, `${where}: after ${lines.length} steps, ${lines.at(-1) ?? 'none'}`);
  // It goes on as if nothing had happened.
  await vault.put(OBJECT, FIRST, { replace: true });
  t.ok(isSame(await readOf(vault, OBJECT), FIRST), `${where}: it is written again`);
  await close();
}

const isSame = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;

t.test('on a disk, before and in the middle of every write', { timeout: 1_800_000 }, async (t) => {
  let step = 0;
  for (; ; step++) {
    const root = tempDir(t);
    const lines = await runServer(['files', root, String(step)]);
    await check(t, await openFileStorage({ root, prefix: 'PRIV', folderMode: 0o700 }), lines, `write ${step}`);
    if (lines.at(-1) === LAST) break;
  }
  t.ok(step > 60, `${step} boundaries`);
});

t.test('in S3, before and after every request that writes', { timeout: 1_800_000 }, async (t) => {
  const s3 = await startS3(t, { minPartBytes: 16 });
  const { credentials: _, ...options } = s3.options;
  let request = 1;
  for (; ; request++) {
    let ended = false;
    for (const kind of ['reset', 'lost-answer'] as const) {
      const prefix = `R${request}-${kind}`;
      let writes = 0;
      let kill = (): void => {};
      s3.fault = ({ operation }) => {
        if (/^(?:Get|Head|List)/.test(operation) || ++writes !== request) return undefined;
        kill();
        return { kind };
      };
      const where = JSON.stringify({ ...options, prefix, partBytes: 1024 });
      const lines = await runServer(['s3', where], (end) => {
        kill = end;
      });
      s3.fault = undefined;
      await check(t, await s3.open({ prefix }), lines, `request ${request}, ${kind}`);
      ended ||= writes < request;
    }
    if (ended) break;
  }
  t.ok(request > 20, `${request} boundaries`);
});
