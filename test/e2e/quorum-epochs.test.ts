/**
 * Contexts, epochs, health and bandwidth of a real quorum, through the RPCs that operators call: made at all parties,
 * used, destroyed, and there again after everything was stopped and started.
 */
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { type KmsClient, openKmsClient } from '../../parent/grpc/client.ts';
import { STATUS } from '../../parent/grpc/status.ts';
import { BandwidthKind, FheParameter, HealthStatus, NodeType } from '../../proto/gen/kms_pb.js';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../wire/ids.ts';
import { freshId, publicDecryption, statusOf } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { TEST_DOMAIN } from '../helpers/start-party.ts';
import { encryptForQuorum, pollFor, startQuorum, type TestQuorum } from '../helpers/start-quorum.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const dir = tempDir(t);
let quorum = await startQuorum(t, { parties: 4, dir });
let admins = openAdmins(quorum);
const CONTEXT = { requestId: freshId() };
const EPOCH = { requestId: freshId() };

function openAdmins({ members }: TestQuorum): readonly KmsClient[] {
  return members.map(({ node }) => {
    const client = openKmsClient(`unix:${present(node.adminSocket)}`);
    t.teardown(() => client.close());
    return client;
  });
}

/** Makes an epoch at all parties and waits until each has it. */
async function makeEpoch(contextId: { requestId: string }, epochId: { requestId: string }): Promise<void> {
  const results = await Promise.all(
    admins.map(async (admin) => {
      await admin.call('NewMpcEpoch', { contextId, epochId });
      return await pollFor(() => admin.call('GetEpochResult', epochId));
    }),
  );
  for (const { reshareResponses, crsResponses } of results) t.same([reshareResponses, crsResponses], [[], []]);
}

/** Makes a key under an epoch at all parties and returns its id. */
async function makeKey(where: { contextId: { requestId: string }; epochId: { requestId: string } }): Promise<string> {
  const [preprocId, requestId] = [{ requestId: freshId() }, { requestId: freshId() }];
  const common = { params: FheParameter.test, domain: TEST_DOMAIN.message, ...where };
  await Promise.all(
    quorum.members.map(async ({ client }) => {
      await client.call('InsecureKeyGenPreproc', { requestId: preprocId, ...common });
      await pollFor(() => client.call('GetInsecureKeyGenPreprocResult', preprocId));
      await client.call('InsecureKeyGen', { requestId, preprocId, ...common });
      await pollFor(() => client.call('GetInsecureKeyGenResult', requestId));
    }),
  );
  return requestId.requestId;
}

const newContext = (contextId: { requestId: string }, order = [1, 2, 3, 4]) => ({
  newContext: {
    contextId,
    threshold: 1,
    softwareVersion: '0.1.0',
    mpcNodes: order.map((party, index) => ({
      partyId: index + 1,
      mpcIdentity: `party-${index + 1}`,
      externalUrl: `https://party-${index + 1}.example:443`,
      signerAddress: quorum.member(party).address,
    })),
  },
});

t.test('all parties are reached', async (t) => {
  for (const admin of admins) {
    const { nodeType, peersFromAllContexts } = await admin.call('GetHealthStatus', {});
    t.equal(nodeType, NodeType.THRESHOLD);
    t.same(
      peersFromAllContexts.map(({ status }) => status),
      [HealthStatus.OPTIMAL],
    );
  }
  const answer = await present(admins[0]).call('BandwidthBenchmark', {
    numberSessions: 2,
    payloadSizePerSession: 100_000,
    kind: BandwidthKind.Once,
  });
  t.same(
    answer.peersInfo.map(({ peerId, bytesSent }) => [peerId, bytesSent]),
    [2, 3, 4].map((party) => [party, 200_000n]),
  );
});

t.test('a context under the numbers of the record is made; under others it is refused', async (t) => {
  const [admin] = admins;
  const mixed = newContext(CONTEXT, [2, 1, 3, 4]);
  t.equal(await statusOf(present(admin).call('NewMpcContext', mixed)), STATUS.INVALID_ARGUMENT);
  await Promise.all(admins.map((each) => each.call('NewMpcContext', newContext(CONTEXT))));
  t.equal(await statusOf(present(admin).call('NewMpcContext', newContext(CONTEXT))), STATUS.ALREADY_EXISTS);
});

t.test('a key under a new epoch of it is used, also after all was stopped, and gone with the epoch', async (sub) => {
  await makeEpoch(CONTEXT, EPOCH);
  const where = { contextId: CONTEXT, epochId: EPOCH };
  const keyId = await makeKey(where);
  const [ciphertext = new Uint8Array()] = await encryptForQuorum(quorum, keyId, [{ value: 77n, fheType: 2 }]);
  const request = () => publicDecryption(keyId, [{ ciphertext, fheType: 2 }], where);
  const open = async (): Promise<readonly (number | undefined)[]> => {
    const asked = request();
    const answers = await Promise.all(quorum.members.map(({ client }) => client.call('PublicDecryptSync', asked)));
    return answers.map(({ payload }) => payload?.plaintexts[0]?.bytes[0]);
  };
  sub.same(await open(), [77, 77, 77, 77]);
  await quorum.stop();
  // Of the whole file: it outlives this test.
  quorum = await startQuorum(t, { parties: 4, dir });
  admins = openAdmins(quorum);
  sub.same(await open(), [77, 77, 77, 77]);

  const [first, ...others] = admins;
  await present(first).call('DestroyMpcEpoch', { epochId: EPOCH });
  sub.equal(await statusOf(present(first).call('DestroyMpcEpoch', { epochId: EPOCH })), STATUS.NOT_FOUND);
  sub.equal(await statusOf(present(quorum.members[0]).client.call('PublicDecryptSync', request())), STATUS.NOT_FOUND);
  for (const admin of others) {
    const { epochIds } = await admin.call('DestroyMpcContext', { contextId: CONTEXT });
    sub.same(
      epochIds.map(({ requestId }) => requestId),
      [EPOCH.requestId],
    );
  }
});

t.test('the last context and the last epoch stay', async (t) => {
  const last = present(admins[1]);
  const epoch = last.call('DestroyMpcEpoch', { epochId: { requestId: DEFAULT_EPOCH_ID } });
  t.equal(await statusOf(epoch), STATUS.FAILED_PRECONDITION);
  const context = last.call('DestroyMpcContext', { contextId: { requestId: DEFAULT_CONTEXT_ID } });
  t.equal(await statusOf(context), STATUS.FAILED_PRECONDITION);
});

t.test('resharing, and epochs that cannot be, are refused by name', async (t) => {
  const admin = present(admins[1]);
  const epochId = { requestId: freshId() };
  const status = (more: object) => statusOf(admin.call('NewMpcEpoch', { epochId, ...more }));
  const resharing = { previousEpoch: { epochId: { requestId: DEFAULT_EPOCH_ID } }, domain: TEST_DOMAIN.message };
  t.equal(await status(resharing), STATUS.UNIMPLEMENTED);
  t.equal(await status({ contextId: { requestId: freshId() } }), STATUS.NOT_FOUND);
  t.equal(await status({ epochId: { requestId: DEFAULT_EPOCH_ID } }), STATUS.INVALID_ARGUMENT);
  t.equal(await status({ epochId: undefined }), STATUS.INVALID_ARGUMENT);
});

t.test('with one party down the others are healthy and say who is missing', async (t) => {
  await quorum.running.stopParty(4, true);
  const admin = present(admins[1]);
  const status = async () => (await admin.call('GetHealthStatus', {})).peersFromAllContexts[0]?.status;
  while ((await status()) === HealthStatus.OPTIMAL) await delay(100);
  t.equal(await status(), HealthStatus.HEALTHY);
});
