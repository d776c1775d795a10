/**
 * A stand-in for an enclave's init: runs `enclave-engine.ts`, carries its lines to the parent's log port, and says last why it
 * ended. `node fake-enclave.ts FOLDER`, as `fake-nitro-cli.ts` starts it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PARENT_PORT } from '../../common/enclave-boot.ts';

const folder = process.argv[2] ?? '';
const run = join(folder, 'run');
const scene: { readonly path: string } = JSON.parse(readFileSync(join(folder, 'scene.json'), 'utf8'));

/** Nothing of an enclave outlives it. */
rmSync(run, { recursive: true, force: true });
mkdirSync(run, { mode: 0o700 });
const logs = connect(`${scene.path}_${PARENT_PORT.logs}`);
await once(logs, 'connect');
const say = (line: object): void => void logs.write(`${JSON.stringify({ name: 'init', ...line })}\n`);
say({ event: 'init.booted' });
const engine = spawn(process.execPath, [fileURLToPath(new URL('./enclave-engine.ts', import.meta.url)), folder], {
  // The fourth is the pipe whose end tells the engine that init is gone.
  stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
});
engine.stdout?.pipe(logs, { end: false });
engine.stderr?.pipe(logs, { end: false });
const [status] = await once(engine, 'close');
say({ event: 'init.exit', reason: reasonOf(), status });
logs.end();

function reasonOf(): string {
  try {
    return readFileSync(join(run, 'exit-reason'), 'utf8');
  } catch {
    return 'the engine ended';
  }
}
