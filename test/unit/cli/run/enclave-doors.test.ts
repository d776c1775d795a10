/** The ports that an enclave dials: the boot document as it is now, to whoever asks, and to few at a time. */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { openDeveloperRoot } from '../../../../attestation/developer/developer-root.ts';
import { systemClock } from '../../../../common/clock.ts';
import { type BootDocument, decodeBootDocument, PARENT_PORT } from '../../../../common/enclave-boot.ts';
import { KmsError } from '../../../../common/errors.ts';
import { openDoors } from '../../../../parent/cli/run/enclave-doors.ts';
import { collectWords } from '../../../../parent/cli/run/enclave-words.ts';
import { parentVsock } from '../../../../vsock-proxy/parent-vsock.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';

const DOCUMENT: BootDocument = { node: 'x = 1\n', charter: Uint8Array.of(1) };

async function scene(
  t: Teardown,
  document: () => Promise<BootDocument>,
  developerRoot?: Awaited<ReturnType<typeof openDeveloperRoot>>,
) {
  const folder = tempDir(t);
  mkdirSync(join(folder, 'v'), { mode: 0o700 });
  const path = join(folder, 'v/vm');
  const faults: string[] = [];
  const dropped: [number, string][] = [];
  const vsock = parentVsock({ path });
  const words = collectWords(() => {});
  const doors = await openDoors(vsock, {
    words,
    document,
    developerRoot,
    onFault: (why) => faults.push(why),
    onDropped: (port, why) => dropped.push([port, why]),
  });
  t.teardown(() => doors.close());
  const dial = async (port: number): Promise<Socket> => {
    const socket = connect(`${path}_${port}`);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  const ask = async (): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    const socket = await dial(PARENT_PORT.boot);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    return Buffer.concat(chunks);
  };
  return { path, faults, dropped, doors, dial, ask };
}

t.test('everyone who asks gets the document as it is then', async (t) => {
  let version = 0;
  const { ask } = await scene(t, async () => ({ ...DOCUMENT, record: Uint8Array.of(++version) }));
  for (const round of [1, 2, 3]) {
    const answer = await ask();
    t.equal(answer.readUInt32BE(0), answer.length - 4);
    t.match(decodeBootDocument(answer.subarray(4)).record, Uint8Array.of(round));
  }
});

t.test('a document that cannot be made closes the stream, and the operator is told why', async (t) => {
  const { ask, faults } = await scene(t, () => Promise.reject(new KmsError('CONFIG_INVALID', 'no charter')));
  t.equal((await ask()).length, 0);
  t.same(faults, ['no charter']);
});

t.test('a document that is too large is not sent', async (t) => {
  const { ask, faults } = await scene(t, async () => ({ ...DOCUMENT, node: '#'.repeat(2 ** 20) }));
  t.equal((await ask()).length, 0);
  t.match(faults, [/at most 1048576 bytes/]);
});

t.test('streams that never end do not keep others out for ever, nor pile up', async (t) => {
  const never = Promise.withResolvers<BootDocument>();
  const { dial, dropped } = await scene(t, () => never.promise);
  const idle = await Promise.all(Array.from({ length: 8 }, () => dial(PARENT_PORT.boot)));
  const over = await dial(PARENT_PORT.boot);
  over.resume();
  await once(over, 'close');
  t.equal(idle.filter(({ destroyed }) => destroyed).length, 0, 'the ninth is closed, the others wait');
  t.same(dropped, [[PARENT_PORT.boot, 'full']], 'and counted');
  for (const socket of idle) socket.destroy();
});

t.test('log streams over the limit are dropped and counted', async (t) => {
  const { dial, dropped } = await scene(t, async () => DOCUMENT);
  const open = await Promise.all(Array.from({ length: 4 }, () => dial(PARENT_PORT.logs)));
  for (let over = 0; over < 2; over++) {
    const socket = await dial(PARENT_PORT.logs);
    socket.resume();
    await once(socket, 'close');
  }
  t.same(dropped, [
    [PARENT_PORT.logs, 'full'],
    [PARENT_PORT.logs, 'full'],
  ]);
  for (const socket of open) socket.destroy();
});

t.test('nobody signs for an enclave without a developer root', async (t) => {
  const { path } = await scene(t, async () => DOCUMENT);
  await t.rejects(once(connect(`${path}_${PARENT_PORT.testNsm}`), 'connect'), { code: 'ENOENT' });
  const root = await openDeveloperRoot(join(tempDir(t), 'root'), { clock: systemClock });
  const developer = await scene(t, async () => DOCUMENT, root);
  (await developer.dial(PARENT_PORT.testNsm)).destroy();
});

t.test('closed doors are free for the next start', async (t) => {
  const { path, doors } = await scene(t, async () => DOCUMENT);
  await doors.close();
  const words = collectWords(() => {});
  const none = (): void => {};
  const options = { words, document: async () => DOCUMENT, onFault: none, onDropped: none };
  const next = await openDoors(parentVsock({ path }), options);
  await next.close();
  t.pass();
});
