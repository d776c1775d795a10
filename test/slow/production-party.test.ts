/**
 * Production parameters through the whole party: a key set of 511 MB is made, streamed from engine to Core, stored and
 * served; all formats decrypt; a restart keeps it. JavaScript's memory stays small on both sides. About 5 minutes.
 */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { EngineStatusSchema } from '../../proto/gen/engine_pb.js';
import { ENGINE_METHOD } from '../../wire/frames.ts';
import { EngineTestLink } from '../helpers/engine-link.ts';
import { publicValue, publishedSigner, userValue } from '../helpers/party-answers.ts';
import { newUser, publicDecryption, userDecryption } from '../helpers/party-requests.ts';
import { encryptFor, startParty } from '../helpers/start-party.ts';
import { type Teardown, tempDir } from '../helpers/temp-dir.ts';
import { dialRunningEngine } from '../helpers/test-trust.ts';

t.setTimeout(3_000_000);

const VALUE = 0xfedc_ba98_7654_3210n;
const MIB = 1024 * 1024;

/** Largest resident memory of a process so far, in bytes. */
function peakBytes(pid: number | undefined): number {
  const [, kibibytes = '0'] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}

/** Asks the engine for the memory of its JavaScript until told to stop; returns the most that it said. */
async function watchEngine(t: Teardown, dir: string, signal: AbortSignal): Promise<number> {
  const link = await EngineTestLink.open(await dialRunningEngine(t, dir));
  let most = 0;
  while (!signal.aborted) {
    const { scriptBytes } = fromBinary(EngineStatusSchema, await link.call(ENGINE_METHOD.status));
    most = Math.max(most, Number(scriptBytes));
    await delay(100);
  }
  link.close();
  return most;
}

t.test('production parameters, from generation to decryptions after a restart', async (t) => {
  const dir = tempDir(t);
  let party = await startParty(t, { dir });
  const generated = new AbortController();
  const engineBytes = watchEngine(t, dir, generated.signal);
  const key = await party.generateKey('default');
  generated.abort();
  const corePeak = peakBytes(party.pids().core);
  t.ok((await engineBytes) < 300 * MIB, `JavaScript of the engine: ${Math.round((await engineBytes) / MIB)} MiB`);
  t.ok(corePeak < 300 * MIB, `the whole Core: ${Math.round(corePeak / MIB)} MiB`);

  for (const { type, id, digest } of key.objects) {
    const hash = createHash('shake256', { outputLength: 32 }).update('PDAT_KEY');
    for await (const chunk of createReadStream(party.publicFile(type, id))) hash.update(chunk);
    t.same(hash.digest(), Buffer.from(digest), `${type} is what the node signed`);
  }
  const formats = [0, 1, 2, 3].map((format) => ({ value: VALUE, fheType: 5, format }));
  const ciphertexts = await encryptFor(party, key.keyId, formats);

  const user = newUser();
  for (const round of ['fresh', 'restarted']) {
    const signer = await publishedSigner(party.node.publicUrl);
    for (const [format, ciphertext] of ciphertexts.entries()) {
      const items = [{ ciphertext, fheType: 5, format }];
      const opened = await party.client.call('PublicDecryptSync', publicDecryption(key.keyId, items));
      t.equal(publicValue(opened, signer), VALUE, `${round}, format ${format}, public`);
      const answer = await party.client.call('UserDecryptSync', userDecryption(key.keyId, items, user));
      t.equal(userValue(answer, signer, user), VALUE, `${round}, format ${format}, user`);
    }
    await party.stop();
    if (round === 'fresh') party = await startParty(t, { dir });
  }
});
