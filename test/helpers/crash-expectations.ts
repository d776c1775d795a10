/** After the last crash: what was acknowledged must be there, as it was seen before, or have failed with nothing left. */
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { toBinary } from '@bufbuild/protobuf';
import { STATUS } from '../../parent/grpc/status.ts';
import { KeyGenResultSchema, UserDecryptionResponseSchema } from '../../proto/gen/kms_pb.js';
import { objectFile, type Scene, see, seePublic, TRY_AGAIN, VALUE } from './crash-scene.ts';
import { userValue } from './party-answers.ts';
import { statusOf } from './party-requests.ts';

/** After the last crash: everything that was promised must have come true. */
export async function settle(scene: Scene): Promise<void> {
  const { ledger, party } = scene;
  const until = performance.now() + 300_000;
  const all = async (ids: Iterable<string>, expectOne: (scene: Scene, id: string) => Promise<boolean>) => {
    for (const id of ids) {
      while (!(await expectOne(scene, id))) {
        if (performance.now() > until) {
          ledger.violations.push(`${id}: never finished`);
          break;
        }
        await delay(20);
      }
    }
  };
  await all(ledger.publicIds, expectPublic);
  await all(ledger.userIds, expectUser);
  await all(ledger.keyIds, expectKey);
  const material = await party.client.call('GetKeyMaterialAvailability', {});
  for (const id of material.fheKeyIds) {
    if (!ledger.answers.has(id)) ledger.violations.push(`key ${id} exists, but nobody was told that it was made`);
  }
}

/** Returns whether there is an answer; a wrong, lost or changed one is a violation. */
export async function expectPublic(scene: Scene, id: string): Promise<boolean> {
  const ask = () => scene.party.client.call('GetPublicDecryptionResult', { requestId: id });
  return await expectAnswer(scene, id, ask, (response) => seePublic(scene, id, response));
}

async function expectUser(scene: Scene, id: string): Promise<boolean> {
  const ask = () => scene.party.client.call('GetUserDecryptionResult', { requestId: id });
  return await expectAnswer(scene, id, ask, (response) => {
    see(scene, id, toBinary(UserDecryptionResponseSchema, response));
    if (userValue(response, scene.signer, scene.user) !== VALUE) scene.ledger.violations.push(`${id}: wrong value`);
  });
}

/** A key is there with its objects, or has failed with none. */
async function expectKey(scene: Scene, id: string): Promise<boolean> {
  const { party, ledger } = scene;
  const ask = () => party.client.call('GetKeyGenResult', { requestId: id });
  let failed = false;
  const answered = await expectAnswer(
    scene,
    id,
    ask,
    (result) => {
      see(scene, id, toBinary(KeyGenResultSchema, result));
      for (const { keyType } of result.keyDigests) {
        if (!existsSync(objectFile(party, keyType, id))) ledger.violations.push(`${keyType}/${id} is missing`);
      }
    },
    (status) => {
      failed = status === STATUS.INTERNAL;
      return failed;
    },
  );
  if (failed) {
    if (ledger.answers.has(id)) ledger.violations.push(`${id}: was done, has failed now`);
    for (const type of ['PublicKey', 'CompressedXofKeySet']) {
      if (existsSync(objectFile(party, type, id))) ledger.violations.push(`${type}/${id} was left behind`);
    }
  }
  return answered || failed;
}

async function expectAnswer<T>(
  { ledger }: Scene,
  id: string,
  ask: () => Promise<T>,
  check: (response: T) => void,
  allowed: (status: number) => boolean = () => false,
): Promise<boolean> {
  let response: T | undefined;
  const status = await statusOf(
    ask().then((answer) => {
      response = answer;
    }),
  );
  if (response !== undefined) check(response);
  else if (!TRY_AGAIN.has(status) && !allowed(status))
    ledger.violations.push(`${id}: acknowledged, now status ${status}`);
  return response !== undefined || !TRY_AGAIN.has(status);
}
