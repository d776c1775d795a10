/**
 * TPM transports: framing on a socket, files that are no TPM, and messages that are cut, extended or late.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { encodeCanonical } from '../../../../attestation/cbor.ts';
import { cborItemBytes } from '../../../../attestation/tpm/cbor-length.ts';
import { execute } from '../../../../attestation/tpm/command.ts';
import { COMMAND } from '../../../../attestation/tpm/constants.ts';
import { tpmDevice, tpmSocket } from '../../../../attestation/tpm/transport.ts';
import { type Teardown, tempDir } from '../../../helpers/temp-dir.ts';
import { plainResponse } from '../../../helpers/tpm-messages.ts';

const COMMAND_BYTES = Uint8Array.of(0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x44);

/** A TPM socket whose answers the test writes. */
async function server(t: Teardown, onCommand: (socket: Socket, n: number) => void) {
  const path = join(tempDir(t), 'tpm');
  const sockets: Socket[] = [];
  let n = 0;
  const listening = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', () => onCommand(socket, n++));
  });
  listening.listen(path);
  await once(listening, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    listening.close();
  });
  return { path, sockets };
}

t.test('a response is put together from pieces, and commands run one at a time over one connection', async (t) => {
  const whole = plainResponse(0, Uint8Array.of(1, 2, 3));
  const { path, sockets } = await server(t, (socket) => {
    for (const byte of whole) socket.write(Uint8Array.of(byte));
  });
  const tpm = tpmSocket({ path });
  t.same(await Promise.all([tpm.send(COMMAND_BYTES), tpm.send(COMMAND_BYTES)]), [whole, whole]);
  t.equal(sockets.length, 1);
  tpm.close();
  await t.rejects(tpm.send(COMMAND_BYTES), { code: 'UNAVAILABLE', message: /closed/ });
});

t.test('responses of a wrong size are refused, and the next command uses a new connection', async (t) => {
  const bad = [
    Uint8Array.of(0x80, 1, 0, 0, 0, 9, 0, 0, 0, 0),
    Uint8Array.of(0x80, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0),
    Buffer.concat([plainResponse(0), Uint8Array.of(1)]),
  ];
  const { path, sockets } = await server(t, (socket, n) => socket.write(bad[n] ?? plainResponse(0)));
  const tpm = tpmSocket({ path });
  t.teardown(() => tpm.close());
  for (const _ of bad) await t.rejects(tpm.send(COMMAND_BYTES), { code: 'UNAVAILABLE' });
  t.same(await tpm.send(COMMAND_BYTES), plainResponse(0));
  t.equal(sockets.length, 4);
});

t.test('a TPM that hangs up, or says nothing, is told', async (t) => {
  const { path } = await server(t, (socket, n) => {
    if (n === 0) socket.end();
  });
  const tpm = tpmSocket({ path }, { timeoutMs: 1_000 });
  t.teardown(() => tpm.close());
  await t.rejects(tpm.send(COMMAND_BYTES), { code: 'UNAVAILABLE', message: /closed/ });
  await t.rejects(tpm.send(COMMAND_BYTES), { code: 'UNAVAILABLE', message: /in time/ });
  const nobody = tpmSocket({ path: join(tempDir(t), 'none') });
  await t.rejects(nobody.send(COMMAND_BYTES), { code: 'UNAVAILABLE' });
});

t.test('commands of no possible size are not sent', async (t) => {
  const tpm = tpmSocket({ path: join(tempDir(t), 'none') });
  for (const size of [0, 9, 4097]) await t.rejects(tpm.send(new Uint8Array(size)), { code: 'REQUEST_INVALID' });
});

t.test('files that are no TPM are told apart', async (t) => {
  const folder = tempDir(t);
  const plain = join(folder, 'plain');
  writeFileSync(plain, '');
  const cases: [string, { code: string; message?: RegExp; facts?: object }][] = [
    [join(folder, 'none'), { code: 'UNAVAILABLE', facts: { errno: 'ENOENT' } }],
    [folder, { code: 'UNAVAILABLE', facts: { errno: 'EISDIR' } }],
    [plain, { code: 'UNAVAILABLE' }],
    ['/dev/null', { code: 'UNAVAILABLE', message: /wrong size/ }],
    ['/dev/full', { code: 'UNAVAILABLE', facts: { errno: 'ENOSPC' } }],
  ];
  if (process.getuid?.() !== 0) {
    const closed = join(folder, 'closed');
    writeFileSync(closed, '');
    chmodSync(closed, 0);
    cases.push([closed, { code: 'PERMISSION_DENIED' }]);
  }
  for (const [path, error] of cases) {
    const tpm = tpmDevice(path);
    await t.rejects(tpm.send(COMMAND_BYTES), error, path);
    tpm.close();
  }
});

t.test('a device gets one write and one read for each command', async (t) => {
  // A named pipe that is open for both gives back what was written: a response of the right form.
  const path = join(tempDir(t), 'pipe');
  t.equal(spawnSync('mkfifo', [path]).status, 0);
  const tpm = tpmDevice(path);
  const commands = [10, 100, 4096].map((size) => {
    const command = new Uint8Array(size).fill(size);
    new DataView(command.buffer).setUint32(2, size);
    return command;
  });
  t.same(await Promise.all(commands.map((command) => tpm.send(command))), commands);
  const wrong = new Uint8Array(20);
  await t.rejects(tpm.send(wrong), { code: 'UNAVAILABLE', message: /wrong size/ });
  t.same(await tpm.send(COMMAND_BYTES), COMMAND_BYTES, 'it is opened again after a failure');
  tpm.close();
  tpm.close();
  await t.rejects(tpm.send(COMMAND_BYTES), { code: 'UNAVAILABLE', message: /closed/ });
});

t.test('a TPM on a TCP port works as on a Unix socket', async (t) => {
  const listening = createServer((socket) => socket.on('data', () => socket.write(plainResponse(0))));
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  t.teardown(() => void listening.close());
  const at = listening.address();
  if (at === null || typeof at === 'string') throw new Error('no port');
  const tpm = tpmSocket({ host: '127.0.0.1', port: at.port });
  t.teardown(() => tpm.close());
  t.same(await tpm.send(COMMAND_BYTES), plainResponse(0));
});

t.test('no response of any bytes does more than fail', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), fc.nat(2), async (bytes, handles) => {
      const transport = { send: async () => bytes, close: () => {} };
      const asked = execute(transport, { code: COMMAND.NV_READ, responseHandles: handles });
      await asked.then(
        ({ parameters }) => parameters.remaining <= bytes.length,
        (error: { code: string }) => {
          if (error.code !== 'UNAVAILABLE') throw error;
        },
      );
    }),
  );
  t.pass('1 property');
});

const cbor = fc.letrec((tie) => ({
  leaf: fc.oneof(fc.nat(), fc.string(), fc.uint8Array({ maxLength: 600 }), fc.boolean(), fc.constant(null)),
  value: fc.oneof(
    { maxDepth: 4 },
    tie('leaf'),
    fc.array(tie('value'), { maxLength: 30 }),
    fc.dictionary(fc.string(), tie('value')).map((entries) => new Map(Object.entries(entries))),
  ),
})).value;

t.test('the end of a CBOR item is found whatever follows, and not before all of it is there', async (t) => {
  fc.assert(
    fc.property(cbor, fc.uint8Array({ maxLength: 40 }), fc.nat(), (value, rest, cut) => {
      const item = encodeCanonical(value as Parameters<typeof encodeCanonical>[0]);
      const found = cborItemBytes(Buffer.concat([item, rest]));
      return found === item.length && cborItemBytes(item.subarray(0, cut % item.length)) === undefined;
    }),
  );
  t.pass('1 property');
});

t.test('items of indefinite length end at their break, and bytes that begin no item are refused', async (t) => {
  t.equal(cborItemBytes(Buffer.from('bf616101ff00', 'hex')), 5);
  t.equal(cborItemBytes(Buffer.from('5f41aa41bbff00', 'hex')), 6);
  t.equal(cborItemBytes(Buffer.from('9f01', 'hex')), undefined);
  t.equal(cborItemBytes(Buffer.from('bbffffffffffffffff01', 'hex')), undefined, 'a count beyond all bytes');
  for (const bad of ['ff', '1c', 'fe', '1f', 'df']) {
    t.throws(() => cborItemBytes(Buffer.from(bad, 'hex')), { code: 'ATTESTATION_INVALID' }, bad);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        const found = cborItemBytes(bytes);
        return found === undefined || (found > 0 && found <= bytes.length);
      } catch (error) {
        return (error as { code: string }).code === 'ATTESTATION_INVALID';
      }
    }),
    { numRuns: 2000 },
  );
});
