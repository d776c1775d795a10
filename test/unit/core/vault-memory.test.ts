/** What a Core keeps of its engine's vault, outside of all storage. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { formatVaultPoint, parseVaultPoint, readKeptHead } from '../../../attestation/node/kept-head.ts';
import { openVaultMemory } from '../../../parent/core/mesh/vault-memory.ts';
import { tempDir } from '../../helpers/temp-dir.ts';

const digest = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
const stateOf = (sequence: number, byte: number) => ({ vaultSequence: BigInt(sequence), vaultDigest: digest(byte) });

function open(t: Parameters<typeof tempDir>[0], path = join(tempDir(t), 'core.sqlite')) {
  const config = { state: { path } };
  const errors: unknown[] = [];
  return { config, errors, memory: openVaultMemory(config, { error: (fields: unknown) => void errors.push(fields) }) };
}

t.test('the newest state that the engine told is there for the next start', async (t) => {
  const { config, memory } = open(t);
  t.equal(await readKeptHead(config), undefined);
  for (const state of [stateOf(3, 1), stateOf(3, 1), stateOf(4, 2)]) memory.take(state);
  await memory.close();
  t.same(await readKeptHead(config), { sequence: 4, digest: digest(2) });
});

t.test('an engine without a state of its own takes nothing back', async (t) => {
  const { config, memory } = open(t);
  memory.take(stateOf(3, 1));
  memory.take({ vaultSequence: 0n, vaultDigest: new Uint8Array() });
  await memory.close();
  t.match(await readKeptHead(config), { sequence: 3 });
});

t.test('after a restore it begins anew', async (t) => {
  const { config, memory } = open(t);
  memory.take(stateOf(9, 1));
  await memory.forget();
  t.equal(await readKeptHead(config), undefined);
  await memory.forget();
  memory.take(stateOf(9, 1));
  await memory.close();
  t.match(await readKeptHead(config), { sequence: 9 });
});

t.test('what cannot be written is told, and written with the next answer', async (t) => {
  const { errors, memory } = open(t, join(tempDir(t), 'missing', 'core.sqlite'));
  memory.take(stateOf(1, 1));
  await memory.close();
  memory.take(stateOf(1, 1));
  await memory.close();
  t.match(errors, [{ event: 'vault.head-not-kept' }, { event: 'vault.head-not-kept' }]);
});

t.test('a file that names no state is refused by its name', async (t) => {
  const { config } = open(t);
  const good = formatVaultPoint({ sequence: 12, digest: digest(0xab) });
  t.same(parseVaultPoint(good), { sequence: 12, digest: digest(0xab) });
  for (const text of [
    '',
    '12',
    `0:${good.slice(3)}`,
    good.slice(0, -1),
    `${good}0`,
    good.toUpperCase(),
    `${good}\n${good}`,
  ]) {
    writeFileSync(`${config.state.path}.vault-head`, text);
    await t.rejects(readKeptHead(config), { code: 'STATE_INVALID', message: /core.sqlite.vault-head/ }, text);
  }
});
