/**
 * An engine that starts while AWS KMS throttles it: the node is not ready and says why, for as long as that lasts, and serves
 * again once KMS answers.
 */
import { createServer, type Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { readAwsFile } from '../../parent/cli/supervise/aws/aws-file.ts';
import { isRunning } from '../../parent/cli/supervise/node-file.ts';
import { present } from '../helpers/present.ts';
import { startParty } from '../helpers/start-party.ts';

const node = await startParty(t, { aws: true });
const { opsUrl } = node.node;
const kmsProcess = present(node.pids().kms);
const port = present(present(await readAwsFile(node.dir)).ports).kms;

/** Answers as AWS KMS does to somebody who asks too often. */
const throttling = () =>
  createServer((_, response) => {
    response.writeHead(400, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify({ __type: 'ThrottlingException', message: 'Rate exceeded' }));
  });

/** Takes the port before the emulator that is started again does. */
async function listenAt(server: Server): Promise<void> {
  for (;;) {
    const outcome = await new Promise<boolean>((resolve) => {
      server.once('listening', () => resolve(true)).once('error', () => resolve(false));
      server.listen(port, '127.0.0.1');
    });
    server.removeAllListeners('listening').removeAllListeners('error');
    if (outcome) return;
    await delay(5);
  }
}

/** Looks until what the node says of itself is as wanted; the test's own time limit ends it. */
async function untilReady(isAsWanted: (status: number, text: string) => boolean): Promise<string> {
  for (;;) {
    const answer = await fetch(`${opsUrl}/ready`);
    const text = await answer.text();
    if (isAsWanted(answer.status, text)) return text;
    await delay(50);
  }
}

t.test('readiness says that AWS KMS throttles an engine that starts, and when that is over', async (t) => {
  await untilReady((status) => status === 200);
  const kms = throttling();
  process.kill(kmsProcess, 'SIGKILL');
  await listenAt(kms);
  const engine = present(node.pids().engine);
  process.kill(engine, 'SIGKILL');
  const said = await untilReady((status, text) => status === 503 && text.includes('AWS KMS'));
  t.match(said, /the engine is not up yet; it said last: .*AWS KMS asks for fewer requests/);
  t.notOk(isRunning(engine));
  await new Promise((closed) => {
    kms.close(closed);
    kms.closeAllConnections();
  });
  const serves = await untilReady((status) => status === 200);
  t.notMatch(serves, /it said last/);
});
