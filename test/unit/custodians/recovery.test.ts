/** A recovery: custodians are asked, their answers are checked, and the backup opens with t + 1 good ones. */
import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { verifyLiveDocument } from '../../../attestation/document/index.ts';
import { recoverCommitment } from '../../../attestation/recovery/recover-facts.ts';
import { systemClock } from '../../../common/clock.ts';
import { KmsError } from '../../../common/errors.ts';
import { createLogger } from '../../../common/log.ts';
import { CustodianRecovery, type RecoveryDeps } from '../../../enclave/custodians/recovery.ts';
import { NodeKey } from '../../../native/engine/index.ts';
import { CustodianRecoveryRequestSchema } from '../../../proto/gen/kms_pb.js';
import { ciphertextsDigest } from '../../../wire/custodian/recovery-request.ts';
import { idBytes, type RequestId } from '../../../wire/ids.ts';
import { startTestAttester } from '../../helpers/software-nsm.ts';
import {
  CHARTER,
  custodianKeys,
  idOf,
  MPC_CONTEXT,
  newContextBody,
  openScene,
  recoveryBody,
  type Scene,
  wireRequest,
} from './scene.ts';

const attester = await startTestAttester({ role: 'engine', charterDigest: CHARTER });

/** Returns a recovery of a scene's backup, and the contexts whose keys were brought together. */
function recoveryOf({ office, backup }: Scene, change: Partial<RecoveryDeps> = {}) {
  const recovered: RequestId[] = [];
  const recovery = new CustodianRecovery({
    source: async () => office.recoverySource(),
    backup,
    attester: attester.nsm,
    network: 'dev:test',
    charterDigest: CHARTER,
    onOpened: async (contextId) => {
      recovered.push(contextId);
      await office.spend(contextId);
    },
    log: createLogger({ name: 'test', level: 'silent' }),
    ...change,
  });
  return { recovery, recovered };
}

async function begun(threshold = 1, count = 3) {
  const scene = await openScene();
  await scene.office.create(newContextBody(idOf(1), { threshold, keys: custodianKeys(count) }));
  return { scene, ...recoveryOf(scene) };
}

t.test('t + 1 custodians open the backup, whoever they are, and a new context has to follow', async (t) => {
  for (const roles of [
    [1, 2],
    [3, 1],
    [1, 2, 3],
  ]) {
    const { scene, recovery, recovered } = await begun();
    const request = await recovery.begin(false);
    const answer = await recovery.finish(recoveryBody(idOf(1), request, roles));
    t.match(answer, { restored: 5, kept: 0, used: [...roles].sort(), skipped: [] }, `custodians ${roles.join()}`);
    t.equal(scene.backup.opened[0]?.byteLength, 32, 'a data key of the backup was opened');
    t.same(recovered, [idOf(1)]);
    t.equal(scene.office.backupKey(), undefined, 'nothing more is sealed under the key that was brought together');
    t.equal(scene.backup.current, undefined);
    t.match((await scene.reopen()).contexts(), [{ active: true, spent: true }], 'also after the next start');
    await scene.office.create(newContextBody(idOf(2)));
    t.equal(scene.office.backupKey()?.contextId, idOf(2));
  }
});

t.test('too few custodians open nothing', async (t) => {
  const { scene, recovery } = await begun(2, 5);
  const request = await recovery.begin(false);
  for (const roles of [[1], [4, 5], [2, 2, 2]]) {
    const body = recoveryBody(idOf(1), request, roles, custodianKeys(5));
    await t.rejects(
      recovery.finish(body),
      { code: 'REQUEST_INVALID', message: /needs the answers of 3/ },
      roles.join(),
    );
  }
  t.same(scene.backup.opened, []);
  await recovery.finish(recoveryBody(idOf(1), request, [1, 3, 5], custodianKeys(5)));
  t.equal(scene.backup.opened.length, 1, 'the recovery goes on with more of them');
});

t.test('answers that are no answers are left out, and why is told', async (t) => {
  const { recovery } = await begun(1, 4);
  const request = await recovery.begin(false);
  const keys = custodianKeys(4);
  const good = recoveryBody(idOf(1), request, [2, 4], keys);
  const other = await begun(1, 4);
  const foreign = recoveryBody(idOf(1), await other.recovery.begin(false), [1, 3], keys);
  const merged = Buffer.concat([good, foreign]);
  const answer = await recovery.finish(merged);
  t.same(answer.used, [2, 4]);
  t.match(answer.skipped, [{ custodian: 1 }, { custodian: 3 }]);
});

t.test('every byte of an answer counts', async (t) => {
  const { recovery } = await begun();
  const request = await recovery.begin(false);
  const body = recoveryBody(idOf(1), request, [1, 2]);
  for (const at of [200, 800, 3_000, body.byteLength - 8]) {
    const changed = body.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    await t.rejects(recovery.finish(changed), { code: 'REQUEST_INVALID' }, `byte ${at}`);
  }
});

t.test('a recovery is begun before it is finished, and once', async (t) => {
  const { scene, recovery } = await begun();
  const stranger = await begun();
  const early = recoveryBody(idOf(1), await stranger.recovery.begin(false), [1, 2]);
  await t.rejects(recovery.finish(early), { code: 'PRECONDITION_FAILED' });
  await t.rejects(recovery.document(new Uint8Array(16)), { code: 'PRECONDITION_FAILED' });
  const first = await recovery.begin(false);
  await t.rejects(recovery.begin(false), { code: 'ALREADY_EXISTS' });
  const second = await recovery.begin(true);
  t.not(Buffer.compare(first.ephemOpEncKey, second.ephemOpEncKey), 0, 'another key');
  await t.rejects(
    recovery.finish(recoveryBody(idOf(1), first, [1, 2])),
    { code: 'REQUEST_INVALID' },
    'for the old key',
  );
  await recovery.finish(recoveryBody(idOf(1), second, [1, 2]));
  await t.rejects(recovery.finish(recoveryBody(idOf(1), second, [1, 2])), { code: 'PRECONDITION_FAILED' }, 'twice');
  t.equal(scene.backup.opened.length, 1);
});

t.test('ids, schemes and shape of the answers are checked', async (t) => {
  const { recovery } = await begun();
  const request = await recovery.begin(false);
  const bad = (fields: object): Uint8Array =>
    toBinary(CustodianRecoveryRequestSchema, create(CustodianRecoveryRequestSchema, fields));
  const rows: readonly [string, Uint8Array][] = [
    ['another context', recoveryBody(idOf(7), request, [1, 2])],
    ['no context', bad({ custodianRecoveryOutputs: [{ custodianRole: 1n }] })],
    ['no answers', bad({ custodianContextId: { requestId: idOf(1) } })],
    ['an empty answer', bad({ custodianContextId: { requestId: idOf(1) }, custodianRecoveryOutputs: [{}] })],
    [
      'another scheme',
      bad({
        custodianContextId: { requestId: idOf(1) },
        custodianRecoveryOutputs: [{ custodianRole: 1n, backupOutput: { pkeType: 1 } }],
      }),
    ],
    [
      'a number beyond all',
      bad({
        custodianContextId: { requestId: idOf(1) },
        custodianRecoveryOutputs: [{ custodianRole: 2n ** 63n, backupOutput: {} }],
      }),
    ],
    ['more answers than custodians can be', Buffer.concat(Array(8).fill(recoveryBody(idOf(1), request, [1, 2])))],
    ['garbage', Uint8Array.of(255)],
  ];
  for (const [why, body] of rows) await t.rejects(recovery.finish(body), { code: 'REQUEST_INVALID' }, why);
});

t.test('a node without custodians has none to ask', async (t) => {
  const scene = await openScene();
  await t.rejects(recoveryOf(scene).recovery.begin(false), { code: 'PRECONDITION_FAILED' });
});

t.test('recovery material that another node signed is refused', async (t) => {
  const scene = await openScene();
  await scene.office.create(newContextBody(idOf(1)));
  const { material } = scene.office.recoverySource();
  const verificationKey = NodeKey.generate().publicKey;
  const { recovery } = recoveryOf(scene, { source: async () => ({ material, verificationKey }) });
  await t.rejects(recovery.begin(false), { code: 'REQUEST_INVALID', message: /not signed by this node/ });
  const changed = material.slice();
  changed[material.byteLength - 100] = (changed[material.byteLength - 100] ?? 0) ^ 1;
  const own = recoveryOf(scene, { source: async () => ({ material: changed, verificationKey: scene.key.publicKey }) });
  await t.rejects(own.recovery.begin(false), { code: 'REQUEST_INVALID' });
});

t.test('a document over the request binds key, contexts, node, shares and the custodian’s challenge', async (t) => {
  const { scene, recovery } = await begun();
  const request = await recovery.begin(false);
  const challenge = new Uint8Array(16).fill(9);
  const made = await recovery.document(challenge);
  const nowMs = systemClock.nowMs();
  const options = { anchor: attester.anchor, nowMs, maxAgeMs: 60_000, skewMs: 60_000 };
  const document = await verifyLiveDocument(made.document, options);
  t.same(document.publicKey, request.ephemOpEncKey, 'exactly the ephemeral key');
  t.equal(document.nonce, undefined);
  const facts = {
    charterDigest: CHARTER,
    mpcContextId: idBytes(MPC_CONTEXT),
    custodianContextId: idBytes(idOf(1)),
    address: scene.key.address,
    ciphertextsDigest: ciphertextsDigest(wireRequest(request).ciphertexts),
    challenge,
  };
  t.same(document.userData, recoverCommitment(facts));
  t.match(made, { network: 'dev:test', mpcContextId: MPC_CONTEXT, custodianContextId: idOf(1) });
  t.same(made.address, scene.key.address);
  for (const size of [0, 15, 17, 64]) {
    await t.rejects(recovery.document(new Uint8Array(size)), { code: 'REQUEST_INVALID' }, `${size} bytes`);
  }
});

t.test('a restore that fails half way is finished with the same answers', async (t) => {
  const { scene, recovery, recovered } = await begun();
  const body = recoveryBody(idOf(1), await recovery.begin(false), [1, 3]);
  scene.backup.failure = new KmsError('UNAVAILABLE', 'the bucket is away');
  await t.rejects(recovery.finish(body), { code: 'UNAVAILABLE' });
  t.equal(scene.office.backupKey(), undefined, 'its key was brought together, whatever came of it');
  scene.backup.failure = undefined;
  t.match(await recovery.finish(body), { used: [1, 3] });
  t.same(new Set(recovered), new Set([idOf(1)]));
});

t.test('no answer, error or log of a recovery holds a secret', async (t) => {
  const lines: string[] = [];
  const scene = await openScene();
  const log = createLogger({ name: 'test', level: 'trace', destination: { write: (line) => void lines.push(line) } });
  await scene.office.create(newContextBody(idOf(1)));
  const { recovery } = recoveryOf(scene, { log });
  const answer = await recovery.finish(recoveryBody(idOf(1), await recovery.begin(false), [1, 2]));
  const [dataKey] = scene.backup.opened;
  const secrets = [dataKey, scene.key.secretBytes()].map((bytes) => Buffer.from(bytes ?? []).toString('hex'));
  const told = `${lines.join('\n')}${JSON.stringify(answer)}`;
  t.ok(lines.length >= 2);
  for (const secret of secrets) t.notMatch(told, secret);
});
