/**
 * Peers with secp256k1 certificates are refused and do not end the process: looked at in a child, since Node would die
 * of a segmentation fault.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { tempDir } from '../../../helpers/temp-dir.ts';
import { trustedAuthority } from './hostile-chain.ts';

const CHILD = fileURLToPath(new URL('./secp256k1-peers.ts', import.meta.url));

/** Runs the child and returns how it ended and what it said. */
async function run(args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [CHILD, ...args], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...env } });
  const ended = new Promise<string>((resolve) => {
    child.once('close', (code, signal) => resolve(String(signal ?? code)));
  });
  const output = await text(child.stdout);
  return { end: await ended, lines: output.trim().split('\n') };
}

t.test('hostile chains are refused on both sides and the process lives', async (t) => {
  const { end, lines } = await run([], {});
  t.equal(end, '0', 'no signal ended it');
  t.equal(lines.at(-1), 'alive');
  t.equal(lines.length, 9, 'four peers on two sides');
  for (const line of lines.slice(0, -1)) t.match(line, /: (malformed|certificate)/, line);
});

t.test('not even an authority that the machine trusts is asked', async (t) => {
  const folder = tempDir(t);
  const { authority, ...peer } = trustedAuthority();
  writeFileSync(join(folder, 'peer.json'), JSON.stringify(peer));
  writeFileSync(join(folder, 'ca.pem'), authority);
  const { end, lines } = await run([join(folder, 'peer.json')], { NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') });
  t.equal(end, '0', 'no signal ended it');
  t.equal(lines.at(-1), 'alive');
  for (const line of lines.slice(0, -1)) t.match(line, /: malformed/, line);
});
