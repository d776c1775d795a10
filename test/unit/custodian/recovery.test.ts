/**
 * The way of a backup key: shared, signcrypted, answered by custodians, put together again; and everything that may
 * be wrong on it.
 */
import { createPublicKey } from 'node:crypto';
import t from 'tap';
import { toHex } from '../../../common/bytes.ts';
import { systemRandom } from '../../../common/random.ts';
import { answerRequest } from '../../../custodian/answer.ts';
import { checkOwnShare } from '../../../custodian/own-share.ts';
import { decodeKemPrivateKey, encapsulationKeyOf } from '../../../wire/custodian/kem-keys.ts';
import { recoverBackupKey } from '../../../wire/custodian/operator.ts';
import { openRecoveryMaterial, openRecoveryMaterialOf } from '../../../wire/custodian/recovery-material.ts';
import type { RecoveryOutput } from '../../../wire/custodian/recovery-request.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { present } from '../../helpers/present.ts';
import { BACKUP_ID, MPC_CONTEXT, makeScene, nodeSigner } from './scene.ts';

const scene = makeScene(Date.UTC(2026, 0, 15));
const { node, material, custodians, ephemeral } = scene;
const request = {
  ephemeralKey: encapsulationKeyOf(ephemeral),
  operatorKey: node.publicKey,
  ciphertexts: material.ciphertexts,
};
const contexts = { mpcContextId: MPC_CONTEXT, custodianContextId: BACKUP_ID };
const custodian = (role: number) => present(custodians[role - 1]);
const answer = (role: number): RecoveryOutput => answerRequest(custodian(role), role, request, contexts, systemRandom);
const stranger = nodeSigner(new Uint8Array(32).fill(0x33));

t.test('the answers of any two of three custodians give the backup key back', async (t) => {
  for (const roles of [
    [1, 2],
    [1, 3],
    [3, 2],
    [1, 2, 3],
  ]) {
    const { secret, used, skipped } = recoverBackupKey(material, node.publicKey, ephemeral, roles.map(answer));
    t.equal(toHex(secret), toHex(scene.secret), roles.join());
    t.same(used, roles.toSorted());
    t.same(skipped, []);
    const key = decodeKemPrivateKey(secret);
    t.same(createPublicKey(key).export({ format: 'raw-public' }), Buffer.from(material.context.backupKey));
  }
});

t.test('an answer that does not count is left out and named, and too few say why', async (t) => {
  const good = [answer(1), answer(3)];
  const lies: [string, RecoveryOutput, RegExp][] = [
    ['a second one', answer(1), /second answer/],
    ['under another number', { ...answer(3), custodianRole: 2 }, /signed by another key/],
    ['of nobody', { ...answer(2), custodianRole: 9 }, /no custodian of this context/],
    [
      'changed',
      { custodianRole: 2, signcryption: answer(2).signcryption.map((b, i) => (i === 900 ? b ^ 1 : b)) },
      /changed/,
    ],
    ['cut', { custodianRole: 2, signcryption: answer(2).signcryption.subarray(0, 700) }, /cut/],
    [
      'the own ciphertext sent back',
      { custodianRole: 2, signcryption: present(material.ciphertexts.get(2)) },
      /not made for this key/,
    ],
  ];
  for (const [what, lie, why] of lies) {
    const { skipped, used } = recoverBackupKey(material, node.publicKey, ephemeral, [...good, lie]);
    t.same(used, [1, 3], what);
    t.match(present(skipped[0]).reason, why, what);
    t.throws(
      () => recoverBackupKey(material, node.publicKey, ephemeral, [answer(1), lie]),
      { code: 'REQUEST_INVALID', message: why },
      what,
    );
  }
});

t.test('an answer made for another request, node or context is left out', async (t) => {
  const elsewhere = makeScene(Date.UTC(2026, 0, 15));
  const other = { ...request, ciphertexts: elsewhere.material.ciphertexts };
  // Same custodians, same ids, another sharing: only the commitment tells.
  const replayed = answerRequest(custodian(2), 2, other, contexts, systemRandom);
  const { skipped } = recoverBackupKey(material, node.publicKey, ephemeral, [answer(1), answer(3), replayed]);
  t.match(present(skipped[0]).reason, /not the one that was given/);
  const moved = { ...material, context: { ...material.context, contextId: parseRequestId('0c'.repeat(32)) } };
  t.throws(() => recoverBackupKey(moved, node.publicKey, ephemeral, [answer(1), answer(2)]), {
    message: /another custodian context/,
  });
  t.throws(() => recoverBackupKey({ ...material, mpcContextId: BACKUP_ID }, node.publicKey, ephemeral, [answer(1)]), {
    message: /another MPC context/,
  });
  t.throws(() => recoverBackupKey(material, stranger.publicKey, ephemeral, [answer(1)]), {
    message: /does not verify/,
  });
  t.throws(() => recoverBackupKey(material, node.publicKey, elsewhere.ephemeral, [answer(1)]), {
    message: /not made for this key/,
  });
});

t.test('a custodian answers only for its own share, of the node and contexts that were asked for', async (t) => {
  t.throws(
    () => answerRequest(custodian(1), 2, request, contexts, systemRandom),
    { code: 'CIPHERTEXT_INVALID' },
    'number of another',
  );
  t.throws(() => answerRequest(custodian(1), 9, request, contexts, systemRandom), { code: 'NOT_FOUND' }, 'no share');
  const wrongContext = { ...contexts, custodianContextId: MPC_CONTEXT };
  t.throws(() => answerRequest(custodian(1), 1, request, wrongContext, systemRandom), {
    message: /another custodian context/,
  });
  const wrongNode = { ...request, operatorKey: stranger.publicKey };
  t.throws(() => answerRequest(custodian(1), 1, wrongNode, contexts, systemRandom), {
    message: /signed by another key/,
  });
  const swapped = new Map([[1, present(material.ciphertexts.get(2))]]);
  t.throws(() => answerRequest(custodian(1), 1, { ...request, ciphertexts: swapped }, contexts, systemRandom), {
    code: 'CIPHERTEXT_INVALID',
  });
  t.doesNotThrow(() => answerRequest(custodian(1), 1, request, undefined, systemRandom), 'without anything to compare');
});

t.test('a custodian can see beforehand that its share opens and is the one that was committed to', async (t) => {
  for (const role of [1, 2, 3]) t.doesNotThrow(() => checkOwnShare(custodian(role), role, material, node.publicKey));
  t.throws(() => checkOwnShare(custodian(1), 2, material, node.publicKey), { code: 'CIPHERTEXT_INVALID' });
  const commitments = new Map([...material.commitments, [1, new Uint8Array(32)] as const]);
  t.throws(() => checkOwnShare(custodian(1), 1, { ...material, commitments }, node.publicKey), {
    message: /committed/,
  });
  t.throws(() => checkOwnShare(custodian(1), 7, material, node.publicKey), { code: 'NOT_FOUND' });
});

t.test('recovery material is believed for its signature, known by key or by address', async (t) => {
  t.same(openRecoveryMaterial(scene.signedMaterial, node.publicKey), material);
  const found = openRecoveryMaterialOf(scene.signedMaterial, node.address);
  t.same(found.material, material);
  t.same(Uint8Array.from(found.verificationKey), node.publicKey);
  const denied = { code: 'PERMISSION_DENIED' };
  t.throws(() => openRecoveryMaterial(scene.signedMaterial, stranger.publicKey), denied);
  t.throws(() => openRecoveryMaterialOf(scene.signedMaterial, stranger.address), denied);
  for (const at of [200, 2000, scene.signedMaterial.byteLength - 1]) {
    const changed = scene.signedMaterial.map((byte, index) => (index === at ? byte ^ 1 : byte));
    t.throws(() => openRecoveryMaterialOf(changed, node.address), { name: 'KmsError' }, `byte ${at}`);
  }
});
