/** Generations: public storage and engine agree, whoever dies in between. */
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { openPublicVault } from '../../../parent/core/boot/public-vault.ts';
import { openEngineClient } from '../../../parent/core/engine-client/reconnecting-client.ts';
import { openGenerations } from '../../../parent/core/objects/open-generations.ts';
import { startPublicDigest } from '../../../parent/core/objects/public-digest.ts';
import type { EngineInfoSchema } from '../../../proto/gen/engine_pb.js';
import { KeyGenResultSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { plainDial } from '../../helpers/plain-link.ts';
import { type Script, type ScriptedCall, scriptedEngine } from '../../helpers/scripted-engine.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { nodeConfigIn } from '../../helpers/test-trust.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const ID = 'ab'.repeat(32);
const EPOCH = '08'.repeat(32);
const BYTES = randomBytes(300_000);
const DIGEST = new Uint8Array(startPublicDigest('PublicKey').update(BYTES).digest());
const OBJECT = { type: 'PublicKey', id: ID, bytes: BYTES, digest: DIGEST };
const WITH_KEY: MessageInitShape<typeof EngineInfoSchema> = {
  keys: [{ keyId: ID, epochId: EPOCH, result: { keyDigests: [{ keyType: 'PublicKey', digest: DIGEST }] } }],
};
const RUN = { method: ENGINE_METHOD.keyGen, id: ID, epochId: EPOCH, body: Uint8Array.of(1) };

function configOf(dir: string): NodeConfig {
  const config = nodeConfigIn(dir, join(dir, 'engine.sock'));
  const storage = { file: { path: dir, prefix: 'PUB' } };
  return { ...config, public_vault: { storage } };
}

async function start(t: Test, script: Script = {}, dir = tempDir(t)) {
  const engine = await scriptedEngine(t, script);
  const retryMs = { first: 1, longest: 5 };
  const client = openEngineClient({ dial: plainDial(engine.socketPath), developerMode: true, log, retryMs });
  const vault = await openPublicVault(configOf(dir), log);
  t.teardown(async () => {
    await client.close();
    await vault.close();
  });
  await client.whenConnected();
  const generations = openGenerations({ engine: client, ...vault, log });
  const keys = () => readdir(join(dir, 'PUB', 'PublicKey')).catch(() => []);
  const follow = async () => vault.follow(await client.refreshInfo());
  return { engine, client, vault, generations, keys, follow, dir };
}

t.test('a generation ends with its objects stored, expected and served', async (t) => {
  const { engine, generations, vault, client } = await start(t, {
    onCall: async (call) => {
      await call.object(OBJECT);
      engine.script = { info: WITH_KEY };
      call.result(Uint8Array.of(9));
    },
  });
  t.strictSame(await generations.run(RUN), Uint8Array.of(9));
  t.equal((await vault.objects.find('PublicKey', ID))?.sizeBytes, BYTES.byteLength);
  t.equal(client.info()?.keys.length, 1, 'the key may be used at once');
});

t.test('a failed or aborted generation leaves no object behind', async (t) => {
  const { engine, generations, keys } = await start(t);
  for (const code of ['ABORTED', 'TASK_FAILED', 'INTERNAL'] as const) {
    engine.script = {
      onCall: async (call) => {
        await call.object(OBJECT);
        call.fail(new KmsError(code, 'it went wrong'));
      },
    };
    await t.rejects(generations.run(RUN), { code }, code);
    t.strictSame(await keys(), [], code);
  }
});

t.test('an engine that dies before the commit fails the generation and frees its space', async (t) => {
  const died = Promise.withResolvers<void>();
  const { engine, generations, keys } = await start(t, {
    onCall: async (call) => {
      await call.object(OBJECT);
      died.resolve();
    },
  });
  const run = t.rejects(generations.run(RUN), { code: 'TASK_FAILED', message: /engine stopped/ });
  await died.promise;
  t.strictSame(await keys(), [ID]);
  await engine.kill();
  await engine.revive();
  await run;
  t.strictSame(await keys(), []);
});

t.test('an engine that dies after the commit has done its work', async (t) => {
  const died = Promise.withResolvers<void>();
  const { engine, generations, keys } = await start(t, {
    onCall: async (call) => {
      await call.object(OBJECT);
      died.resolve();
    },
  });
  const run = generations.run(RUN);
  await died.promise;
  await engine.kill();
  engine.script = { info: WITH_KEY };
  await engine.revive();
  t.strictSame(fromBinary(KeyGenResultSchema, await run).keyDigests[0]?.digest, DIGEST);
  t.strictSame(await keys(), [ID]);
});

t.test('an aborted generation whose engine dies is aborted', async (t) => {
  const begun = Promise.withResolvers<ScriptedCall>();
  const { engine, generations } = await start(t, { onCall: (call) => begun.resolve(call) });
  const stop = new AbortController();
  const run = t.rejects(generations.run({ ...RUN, signal: stop.signal }), { code: 'ABORTED' });
  const call = await begun.promise;
  stop.abort();
  await call.cancelled;
  await engine.kill();
  await engine.revive();
  await run;
});

t.test('nothing is begun while the engine is down', async (t) => {
  const { engine, client, generations } = await start(t);
  const down = new Promise<void>((resolve) => void client.onState((state) => state === 'disconnected' && resolve()));
  await engine.kill();
  await down;
  await t.rejects(generations.run(RUN), { code: 'UNAVAILABLE' });
  await t.rejects(generations.settle('keygen', ID), { code: 'UNAVAILABLE' });
});

t.test('after a restart, the engine says what became of a generation', async (t) => {
  const { engine, client, generations, vault, keys } = await start(t);
  await vault.storage.put(['PublicKey', ID], BYTES);
  engine.script = { info: WITH_KEY };
  await client.refreshInfo();
  t.match(await generations.settle('keygen', ID), { state: 'done' });
  t.strictSame(await keys(), [ID], 'kept');
  engine.script = {};
  await client.refreshInfo();
  t.match(await generations.settle('keygen', ID), { state: 'failed', reason: /engine stopped/ });
  t.strictSame(await keys(), [], 'orphans removed');
  t.match(await generations.settle('crsgen', ID), { state: 'failed' });
});

t.test('an engine that is still committing is waited for', async (t) => {
  const { engine, generations, keys, vault } = await start(t, { generating: `key ${ID}` });
  await vault.storage.put(['PublicKey', ID], BYTES);
  const settled = generations.settle('keygen', ID);
  await new Promise(setImmediate);
  engine.script = { info: WITH_KEY };
  t.match(await settled, { state: 'done' });
  t.strictSame(await keys(), [ID]);
});

t.test('publishes the identity, and names what does not match it', async (t) => {
  const identityObjects = [
    { type: 'VerfAddress', id: ID, content: Buffer.from('0x1') },
    { type: 'CACert', id: ID, content: Buffer.from('pem') },
  ];
  const { vault, follow, dir } = await start(t, { info: { identityObjects } });
  await follow();
  t.strictSame(vault.objects.faults(), []);
  t.equal(Buffer.from(await vault.storage.get(['VerfAddress', ID])).toString(), '0x1');
  await writeFile(join(dir, 'PUB', 'VerfAddress', ID), '0x2');
  await follow();
  t.match(vault.objects.faults(), [/VerfAddress\/abab.*digest/]);
  t.equal(Buffer.from(await vault.storage.get(['VerfAddress', ID])).toString(), '0x2', 'nothing is repaired');
  await writeFile(join(dir, 'PUB', 'VerfAddress', ID), '0x1');
  await follow();
  t.strictSame(vault.objects.faults(), [], 'well again');
});

t.test('a key whose object is missing or changed makes the vault faulty, by name', async (t) => {
  const { vault, follow, dir } = await start(t, { info: WITH_KEY });
  await follow();
  t.match(vault.objects.faults(), [/^public object PublicKey\/abab.* is missing$/]);
  await vault.storage.put(['PublicKey', ID], BYTES);
  await follow();
  t.strictSame(vault.objects.faults(), []);
  const damaged = Buffer.from(BYTES);
  damaged[7] = (damaged[7] ?? 0) ^ 1;
  await writeFile(join(dir, 'PUB', 'PublicKey', ID), damaged);
  await follow();
  t.match(vault.objects.faults(), [/PublicKey\/abab.*digest/]);
  await t.rejects(vault.objects.find('PublicKey', ID), { code: 'STATE_INVALID' });
});

t.test('a large object is read once, in the background, and not again after a restart', async (t) => {
  const large = randomBytes(5_000_000);
  const digest = startPublicDigest('PublicKey').update(large).digest();
  const info = { keys: [{ keyId: ID, epochId: EPOCH, result: { keyDigests: [{ keyType: 'PublicKey', digest }] } }] };
  const first = await start(t, { info });
  await first.vault.storage.put(['PublicKey', ID], large);
  await first.follow();
  await first.vault.close();
  t.strictSame(first.vault.objects.faults(), []);
  const again = await openPublicVault(configOf(first.dir), log);
  let reads = 0;
  const { open } = again.storage;
  again.storage.open = (...args) => {
    reads += 1;
    return open.apply(again.storage, args);
  };
  await again.follow(await first.client.refreshInfo());
  await again.close();
  t.strictSame(again.objects.faults(), []);
  t.equal(reads, 0);
});

t.test('what a generation makes for an older key takes its place with the commit, also after a crash', async (t) => {
  const OLDER = 'cd'.repeat(32);
  for (const committed of [false, true]) {
    const sent = Promise.withResolvers<void>();
    const { engine, generations, vault } = await start(t, {
      onCall: async (call) => {
        await call.object({ ...OBJECT, id: OLDER, replace: true });
        sent.resolve();
      },
    });
    await vault.storage.put(['PublicKey', OLDER], Buffer.from('older'));
    const run = generations.run(RUN).catch((error: unknown) => error);
    await sent.promise;
    t.equal(await vault.storage.size(['PublicKey', OLDER]), 5, 'not before the commit');
    await engine.kill();
    engine.script = committed ? { info: WITH_KEY } : {};
    await engine.revive();
    await run;
    t.equal(
      await vault.storage.size(['PublicKey', OLDER]),
      committed ? BYTES.byteLength : 5,
      `committed: ${committed}`,
    );
    t.strictSame(await vault.storage.list([]), ['PublicKey'], 'nothing waits any more');
  }
});
