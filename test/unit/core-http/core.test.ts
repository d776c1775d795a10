/** A whole Core before, with and without its engine. */

import { writeFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { equalBytes } from '../../../common/bytes.ts';
import { STATUS } from '../../../parent/grpc/status.ts';
import { HealthCheckResponse_ServingStatus as Serving } from '../../../proto/gen/health_pb.js';
import { PublicDecryptionRequestSchema, PublicDecryptionResponseSchema } from '../../../proto/gen/kms_pb.js';
import { DEFAULT_EPOCH_ID, SIGNING_KEY_ID } from '../../../wire/ids.ts';
import { freshId, publicDecryption, statusOf } from '../../helpers/party-requests.ts';
import { type Script, scriptedEngine } from '../../helpers/scripted-engine.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { testConfig, testCore } from '../../helpers/test-core.ts';

const KEY = freshId();
const INFO: Script['info'] = {
  keys: [{ keyId: KEY, epochId: DEFAULT_EPOCH_ID, result: { keyDigests: [] } }],
  identityObjects: [{ type: 'VerfAddress', id: SIGNING_KEY_ID, content: Buffer.from('0xabc') }],
};
const ITEM = [{ ciphertext: Uint8Array.of(1), fheType: 5 }];

t.test('answers before the engine is there, serves once it is, and says so everywhere', async (t) => {
  const engine = await scriptedEngine(t, { info: INFO });
  await engine.kill();
  const { core, client } = await testCore(t, { socketPath: engine.socketPath });
  t.equal(await client.health(), Serving.NOT_SERVING);
  t.match(await (await fetch(`${core.opsUrl}/ready`)).text(), /the engine is not connected/);
  t.equal(await statusOf(client.call('PublicDecryptSync', publicDecryption(KEY, ITEM))), STATUS.UNAVAILABLE);
  await engine.revive();
  await core.ready;
  t.strictSame(core.reasons(), []);
  t.equal(await client.health(), Serving.SERVING);
  t.equal(await (await fetch(`${core.opsUrl}/health`)).text(), 'ok');
  t.equal(await (await fetch(`${core.publicUrl}/VerfAddress/${SIGNING_KEY_ID}`)).text(), '0xabc', 'identity published');
});

t.test('passes a request on as it came and the answer as the engine gave it', async (t) => {
  const response = toBinary(PublicDecryptionResponseSchema, {
    $typeName: 'kms.v1.PublicDecryptionResponse',
    signature: Uint8Array.of(1),
    externalSignature: Uint8Array.of(2),
    extraData: new Uint8Array(),
    signatures: [],
  });
  let seen: Uint8Array | undefined;
  const engine = await scriptedEngine(t, {
    info: INFO,
    onCall: (call) => {
      seen = call.body;
      call.result(response);
    },
  });
  const { core, client } = await testCore(t, { socketPath: engine.socketPath });
  await core.ready;
  const body = toBinary(PublicDecryptionRequestSchema, publicDecryption(KEY, ITEM));
  const answer = await client.callRaw('/kms_service.v1.CoreServiceEndpoint/PublicDecryptSync', body);
  t.ok(equalBytes(seen ?? new Uint8Array(), body), 'request');
  t.ok(equalBytes(answer, response), 'answer');
});

t.test('turns unhealthy when the engine goes, and well again when it is back', async (t) => {
  const engine = await scriptedEngine(t, { info: INFO });
  const { core, client, lines } = await testCore(t, { socketPath: engine.socketPath });
  await core.ready;
  await engine.kill();
  while (core.reasons().length === 0) await new Promise(setImmediate);
  t.equal(await client.health(), Serving.NOT_SERVING);
  t.equal((await fetch(`${core.opsUrl}/health`)).status, 503);
  t.equal((await fetch(`${core.opsUrl}/live`)).status, 200, 'alive all the same');
  await engine.revive();
  while (core.reasons().length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(await client.health(), Serving.SERVING);
  const events = lines.map(({ event }) => event);
  t.ok(events.indexOf('engine.connected') < events.indexOf('engine.disconnected'), 'told in the log');
});

t.test('a public object that is not what the engine signed makes the node unhealthy, by name', async (t) => {
  const engine = await scriptedEngine(t, { info: INFO });
  const first = await testCore(t, { socketPath: engine.socketPath });
  await first.core.ready;
  await first.core.close(0);
  await writeFile(join(first.dir, 'public/PUB/VerfAddress', SIGNING_KEY_ID), '0xdef');
  const { core, client } = await testCore(t, { socketPath: engine.socketPath, dir: first.dir });
  await core.ready;
  t.match(core.reasons(), [/public object VerfAddress\/60b7.* has digest/]);
  t.equal(await client.health(), Serving.NOT_SERVING);
  t.equal((await fetch(`${core.publicUrl}/VerfAddress/${SIGNING_KEY_ID}`)).status, 500, 'not served');
});

t.test('a second Core on one state folder is refused', async (t) => {
  const engine = await scriptedEngine(t, { info: INFO });
  const { dir } = await testCore(t, { socketPath: engine.socketPath });
  await t.rejects(testCore(t, { socketPath: engine.socketPath, dir }), { code: 'STATE_INVALID', message: /in use/ });
});

t.test('taken ports are named with their settings, and what was opened is closed again', async (t) => {
  const engine = await scriptedEngine(t, { info: INFO });
  const { core } = await testCore(t, { socketPath: engine.socketPath });
  const portOf = (url: string) => Number(new URL(url).port);
  const dir = tempDir(t);
  const config = testConfig(dir, engine.socketPath);
  const { service, public_http, telemetry } = config;
  const cases = [
    ['service.listen_port', { ...config, service: { ...service, listen_port: portOf(core.clientUrl) } }],
    ['public_http.listen_port', { ...config, public_http: { ...public_http, listen_port: portOf(core.publicUrl) } }],
    [
      'telemetry.metrics_bind_address',
      { ...config, telemetry: { ...telemetry, metrics_bind_address: new URL(core.opsUrl).host } },
    ],
  ] as const;
  for (const [setting, taken] of cases) {
    const rejected = { code: 'CONFIG_INVALID', message: new RegExp(`taken by another process.*${setting}`) };
    await t.rejects(testCore(t, { socketPath: engine.socketPath, dir, config: taken }), rejected, setting);
  }
  await testCore(t, { socketPath: engine.socketPath, dir });
  t.pass('the folder is free again');
});

t.test('warns at each start of every address that others reach in plaintext', async (t) => {
  const engine = await scriptedEngine(t, { info: INFO });
  const dir = tempDir(t);
  const config = testConfig(dir, engine.socketPath);
  const open = {
    ...config,
    service: { ...config.service, listen_address: '0.0.0.0', allow_plaintext_clients: true },
  };
  const { lines } = await testCore(t, { socketPath: engine.socketPath, dir, config: open });
  const warnings = lines.filter(({ level }) => level === 'warn');
  t.match(warnings, [{ event: 'core.plaintext_binding', setting: 'service.listen_address', address: '0.0.0.0' }]);
});

t.test('insecure calls do not exist outside of developer mode', async (t) => {
  const developer = await scriptedEngine(t, { info: INFO });
  const production = await scriptedEngine(t, { info: INFO, hello: { developerMode: false } });
  const request = { requestId: freshId() };
  const dev = await testCore(t, { socketPath: developer.socketPath });
  await dev.core.ready;
  t.equal(await statusOf(dev.client.call('GetInsecureKeyGenResult', request)), STATUS.NOT_FOUND);
  const prod = await testCore(t, { socketPath: production.socketPath, developerMode: false });
  await prod.core.ready;
  t.equal(await statusOf(prod.client.call('GetInsecureKeyGenResult', request)), STATUS.UNIMPLEMENTED);
});

t.test('a Core does not work with an engine of the other mode', async (t) => {
  const engine = await scriptedEngine(t, { info: INFO, hello: { developerMode: false } });
  const { core } = await testCore(t, { socketPath: engine.socketPath });
  while (!/mode/.test(core.reasons().join())) await new Promise(setImmediate);
  t.match(core.reasons(), [/the engine runs in production mode, this core in developer mode/]);
});

t.test('stops in order: calls under way end, new ones are refused', async (t) => {
  const answers: (() => void)[] = [];
  const arrived = Promise.withResolvers<void>();
  const engine = await scriptedEngine(t, {
    info: INFO,
    onCall: (call) => {
      answers.push(() => call.result());
      arrived.resolve();
    },
  });
  const { core, client } = await testCore(t, { socketPath: engine.socketPath });
  await core.ready;
  const call = statusOf(client.call('PublicDecryptSync', publicDecryption(KEY, ITEM)));
  await arrived.promise;
  const closed = core.close(5_000);
  const late = connect(core.clientUrl);
  late.on('error', () => undefined);
  await new Promise<void>((resolve) => late.once('close', resolve));
  answers[0]?.();
  t.equal(await call, STATUS.OK, 'the call under way got its answer');
  await closed;
  await t.rejects(fetch(`${core.opsUrl}/live`), 'nobody listens any more');
});

t.test('closing before the engine was ever there ends the wait', async (t) => {
  const { core } = await testCore(t, { socketPath: join(tempDir(t), 'none.sock') });
  const ready = t.rejects(core.ready, { code: 'CANCELLED' });
  await core.close(0);
  await ready;
});
