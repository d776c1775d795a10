/**
 * The crash test: engine and core are killed at random moments under a mixed load. What was acknowledged must end with
 * the right answer, and an answer once given must stay what it is.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { loadEvaluationKeys } from '../../native/engine/public.ts';
import { STATUS } from '../../parent/grpc/status.ts';
import { FheParameter, type KeyGenResult } from '../../proto/gen/kms_pb.js';
import { expectPublic, settle } from './crash-expectations.ts';
import { startCrashParty } from './crash-party.ts';
import { note, objectFile, type Scene, seePublic, TRY_AGAIN, VALUE } from './crash-scene.ts';
import { publishedSigner } from './party-answers.ts';
import { freshId, newUser, publicDecryption, statusOf, userDecryption } from './party-requests.ts';
import { D0 } from './requests.ts';

/** What a run of {@link crashRounds} is to do. */
export interface CrashPlan {
  /** How often something is killed. */
  readonly rounds: number;
  /** Fixes whom it hits and when; the load is as the machine makes it. */
  readonly seed: number;
}

const WORKERS = 4;
const MAX_PAUSE_MS = 250;

/** Runs the crash test. */
export async function crashRounds(t: Test, { rounds, seed }: CrashPlan): Promise<void> {
  const over = new AbortController();
  const scene = await prepare(t, over.signal);
  const load = Array.from({ length: WORKERS }, (_, worker) => work(scene, worker));
  const random = randomOf(seed);
  for (let round = 0; round < rounds; round++) {
    await delay(random() * MAX_PAUSE_MS);
    const whom = random();
    if (whom < 0.4) await scene.party.crash('core');
    else if (whom < 0.8) await scene.party.crash('engine');
    else await scene.party.crash('engine', 'core');
  }
  over.abort();
  await Promise.all(load);
  await settle(scene);
  const { ledger, party } = scene;
  t.strictSame(ledger.violations, [], 'no acknowledged request lost, no result changed');
  t.ok(ledger.publicIds.size > 0 && ledger.userIds.size > 0 && ledger.keyIds.size > 0, 'there was a load');
  t.comment(
    `${rounds} crashes: ${ledger.publicIds.size} public, ${ledger.userIds.size} user decryptions, ` +
      `${ledger.keyIds.size} key generations acknowledged, ${ledger.answers.size} answers seen`,
  );
  if (ledger.violations.length > 0) t.comment(party.lastLines());
}

async function prepare(t: Test, over: AbortSignal): Promise<Scene> {
  const party = await startCrashParty(t);
  const violations: string[] = [];
  const ledger = {
    publicIds: new Set<string>(),
    userIds: new Set<string>(),
    keyIds: new Set<string>(),
    answers: new Map(),
    violations,
  };
  const signer = await publishedSigner(party.publicUrl);
  const unencrypted = { party, signer, user: newUser(), ledger, over, keyId: '', ciphertext: new Uint8Array() };
  const keyId = await startKey(unencrypted);
  const result = keyId && (await keyResult(unencrypted, keyId));
  if (!result) throw new Error('the first key could not be made');
  ledger.keyIds.add(keyId);
  using keys = await loadEvaluationKeys({ compressedXofKeySetPath: objectFile(party, 'CompressedXofKeySet', keyId) });
  return { ...unencrypted, keyId, ciphertext: await keys.encrypt(VALUE, 5, 2) };
}

/** One client: everything it does may be cut off at any moment. The first also makes keys. */
async function work(scene: Scene, worker: number): Promise<void> {
  for (let turn = 0; !scene.over.aborted; turn++) {
    await promisePublic(scene);
    await promiseUser(scene);
    await askPublicNow(scene);
    if (worker === 0 && turn % 5 === 0) {
      const keyId = await startKey(scene);
      if (keyId) scene.ledger.keyIds.add(keyId);
    }
    await lookAgain(scene);
    await delay(1); // a party that is away refuses at once
  }
}

async function promisePublic(scene: Scene): Promise<void> {
  const request = publicDecryption(scene.keyId, [{ ciphertext: scene.ciphertext, fheType: 5 }]);
  const status = await statusOf(scene.party.client.call('PublicDecrypt', request));
  note(scene, scene.ledger.publicIds, request.requestId?.requestId ?? '', status);
}

async function promiseUser(scene: Scene): Promise<void> {
  const request = userDecryption(scene.keyId, [{ ciphertext: scene.ciphertext, fheType: 5 }], scene.user);
  const status = await statusOf(scene.party.client.call('UserDecrypt', request));
  note(scene, scene.ledger.userIds, request.requestId?.requestId ?? '', status);
}

/** A call that waits for its answer: once seen, the answer may be asked for again. */
async function askPublicNow(scene: Scene): Promise<void> {
  const request = publicDecryption(scene.keyId, [{ ciphertext: scene.ciphertext, fheType: 5 }]);
  const id = request.requestId?.requestId ?? '';
  const status = await statusOf(
    scene.party.client.call('PublicDecryptSync', request).then((response) => {
      scene.ledger.publicIds.add(id);
      seePublic(scene, id, response);
    }),
  );
  if (status !== STATUS.OK && !TRY_AGAIN.has(status))
    scene.ledger.violations.push(`PublicDecryptSync: status ${status}`);
}

/** Asks for something that was promised earlier. */
async function lookAgain(scene: Scene): Promise<void> {
  const ids = [...scene.ledger.publicIds];
  const id = ids[Math.floor(Math.random() * ids.length)];
  if (id) await expectPublic(scene, id);
}

/** Starts a key generation; returns its id if it was acknowledged. */
async function startKey({ party, ledger }: Scene): Promise<string | undefined> {
  const preprocId = { requestId: freshId() };
  const requestId = { requestId: freshId() };
  const common = { params: FheParameter.test, domain: D0 };
  const calls = [
    () => party.client.call('KeyGenPreproc', { requestId: preprocId, ...common }),
    () => party.client.call('GetKeyGenPreprocResult', preprocId),
    () => party.client.call('KeyGen', { requestId, preprocId, ...common }),
  ];
  for (const call of calls) {
    let status = await statusOf(call());
    for (let tries = 0; status === STATUS.UNAVAILABLE && call === calls[1] && tries < 20; tries++) {
      await delay(10);
      status = await statusOf(call());
    }
    if (status === STATUS.OK) continue;
    if (!TRY_AGAIN.has(status) && status !== STATUS.NOT_FOUND)
      ledger.violations.push(`key generation: status ${status}`);
    return undefined;
  }
  return requestId.requestId;
}

async function keyResult({ party }: Scene, requestId: string): Promise<KeyGenResult | undefined> {
  for (let tries = 0; tries < 500; tries++) {
    const result = await party.client.call('GetKeyGenResult', { requestId }).catch(() => undefined);
    if (result) return result;
    await delay(20);
  }
  return undefined;
}

/** A small generator (mulberry32), so that a seed says whom the crashes hit. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
