/** What an enclave says is untrusted text of unknown length: it is bounded, cleaned, and read for two events only. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { collectWords } from '../../../../parent/cli/run/enclave-words.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';

/** A log port; `dial` opens a stream to it. */
async function scene(t: Teardown) {
  const lines: string[] = [];
  const words = collectWords((line) => lines.push(line));
  const path = join(tempDir(t), 's');
  const server = createServer((socket) => words.take(socket));
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => {
    words.close();
    server.close();
  });
  const dial = async (): Promise<Socket> => {
    const socket = connect(path);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  /** Sends bytes on a stream of their own, to its end. */
  const send = async (bytes: string | Uint8Array): Promise<void> => {
    const socket = await dial();
    socket.end(bytes);
    socket.resume();
    await once(socket, 'close');
    await words.drained(5_000);
  };
  return { lines, words, dial, send };
}

t.test('the ready line and the last words are read, all lines are handed on', async (t) => {
  const { lines, words, send } = await scene(t);
  t.equal(words.lastWords(), undefined);
  await send(
    '{"name":"init","event":"init.booted"}\n\n{"event":"engine.ready","party":1}\nplain\n{"event":"init.exit","reason":"too little memory: needs 1408 MB","status":9}',
  );
  t.equal(lines.length, 4, 'the last line needs no end, empty ones are left out');
  t.match(await words.ready, { party: 1 });
  t.same(words.lastWords(), { reason: 'too little memory: needs 1408 MB', status: 9 });
});

t.test('last words that make no sense are no fault', async (t) => {
  const { words, send } = await scene(t);
  await send('{"event":"init.exit","reason":7,"status":"x"}\n');
  t.same(words.lastWords(), { reason: 'no reason was given', status: 1 });
  await send(`{"event":"init.exit","reason":"${'r'.repeat(9000)}","status":1}\n`);
  t.equal(words.lastWords()?.reason.length, 2000);
});

t.test('a line without end is cut, and what follows it is read', async (t) => {
  const { lines, words, send } = await scene(t);
  await send(`${'x'.repeat(1_000_000)}\n{"event":"engine.ready"}\n`);
  t.equal(lines.length, 2);
  t.ok((lines[0]?.length ?? 0) < 17_000 && lines[0]?.endsWith('… (cut)'));
  t.match(await words.ready, { event: 'engine.ready' });
});

t.test('control characters and broken text never come through', async (t) => {
  const { lines, send } = await scene(t);
  await send(new Uint8Array([0x1b, 0x5b, 0x32, 0x4a, 0x07, 0xff, 0xfe, 0x41, 0xe2, 0x80, 0xae, 0x0a]));
  t.same(lines, ['�[2J���A�']);
});

t.test('streams over the limit are closed, and those that are open go on', async (t) => {
  const { lines, words, dial } = await scene(t);
  const open = await Promise.all([dial(), dial(), dial(), dial()]);
  // What they say shows that they were taken.
  for (const socket of open) socket.write('here\n');
  while (lines.length < 4) await new Promise((resolve) => setImmediate(resolve));
  const fifth = await dial();
  fifth.resume();
  await once(fifth, 'close');
  for (const socket of open) socket.end('bye\n').resume();
  await words.drained(5_000);
  t.equal(lines.filter((line) => line === 'bye').length, 4);
});

t.test('a stream that stays open is not waited for without end', async (t) => {
  const { lines, words, dial } = await scene(t);
  (await dial()).write('x\n');
  while (lines.length < 1) await new Promise((resolve) => setImmediate(resolve));
  await words.drained(1);
  t.pass();
});
