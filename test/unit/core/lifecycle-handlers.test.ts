/** What handlers of contexts and epochs do beside answering a status: what governance is asked, what ends with what. */
import { hash } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { KmsError } from '../../../common/errors.ts';
import { ApprovalCallSchema } from '../../../proto/gen/engine_pb.js';
import { DestroyMpcContextRequestSchema, DestroyMpcContextResponseSchema } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { errorOf } from './handler-helpers.ts';
import { idOf, newContext, newEpoch, publicDecryption } from './requests.ts';
import { startTestCore } from './test-core.ts';

const A = idOf('a');
const B = idOf('b');
const C = idOf('c');

t.test('what governance must sign has no effect before, and every client learns what to sign', async (t) => {
  const core = await startTestCore(t);
  const asked: { kind: string; digest: Uint8Array }[] = [];
  const proposalDigest = 'ab'.repeat(48);
  let approved = false;
  core.engine.answers.set(ENGINE_METHOD.requireApproval, (body) => {
    asked.push(fromBinary(ApprovalCallSchema, body));
    if (approved) return new Uint8Array();
    throw new KmsError('APPROVAL_MISSING', 'needs 2 governance signatures', { proposalDigest });
  });
  const context = newContext(A);
  const refused = await errorOf(core.raw('NewMpcContext', context));
  t.match(refused, {
    status: 9,
    message: new RegExp(`metric new_mpc_context: governance must sign proposal ${proposalDigest}$`),
    details: { reason: 'APPROVAL_MISSING', metadata: { proposalDigest } },
  });
  t.match(asked, [{ kind: 'context', digest: hash('sha384', context, 'buffer') }], 'the digest of this very request');
  t.equal(
    await core.status('NewMpcEpoch', newEpoch(B, { contextId: { requestId: A } })),
    'NOT_FOUND',
    'it was not recorded',
  );
  approved = true;
  t.equal(await core.status('NewMpcContext', context), 'OK');
  t.equal(await core.status('NewMpcEpoch', newEpoch(B, { contextId: { requestId: A } })), 'OK');
  t.equal(asked.length, 2, 'an epoch that takes nothing over needs no signature');
});

t.test('destroying a context ends its epochs and names them', async (t) => {
  const core = await startTestCore(t);
  const destroy = (id: string): Promise<string[]> =>
    core
      .raw(
        'DestroyMpcContext',
        toBinary(
          DestroyMpcContextRequestSchema,
          create(DestroyMpcContextRequestSchema, { contextId: { requestId: id } }),
        ),
      )
      .then((bytes) => fromBinary(DestroyMpcContextResponseSchema, bytes).epochIds.map(({ requestId }) => requestId));
  await core.raw('NewMpcContext', newContext(A));
  await core.raw('NewMpcEpoch', newEpoch(B, { contextId: { requestId: A } }));
  t.equal(await core.status('PublicDecryptSync', publicDecryption(C, { epochId: { requestId: B } })), 'NOT_FOUND');
  t.same(await destroy(A), [B]);
  t.equal(await core.status('NewMpcEpoch', newEpoch(B)), 'ALREADY_EXISTS', 'an epoch id is used once');

  await core.raw('NewMpcContext', newContext(C));
  t.same(await destroy(DEFAULT_CONTEXT_ID), [DEFAULT_EPOCH_ID]);
  t.equal(await core.status('PublicDecryptSync', publicDecryption(A, { contextId: { requestId: C } })), 'NOT_FOUND');
});
