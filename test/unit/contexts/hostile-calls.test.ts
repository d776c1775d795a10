/** What a Core may send a party of a quorum: whatever it is, it gets an answer that blames the request. */
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import t from 'tap';
import { isKmsError } from '../../../common/errors.ts';
import { requestedContext } from '../../../enclave/contexts/requested-context.ts';
import {
  BandwidthBenchmarkRequestSchema,
  NewMpcContextRequestSchema,
  SigningSchemeType,
} from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { idBytes, parseRequestId } from '../../../wire/ids.ts';
import { present } from '../../helpers/present.ts';
import { quorumEngines, settled } from '../../helpers/quorum-engines.ts';
import { idOf } from '../../helpers/requests.ts';

const ANSWERS = new Set(['REQUEST_INVALID', 'NOT_FOUND', 'PRECONDITION_FAILED', 'UNIMPLEMENTED']);
const CALLS = ['newContext', 'destroyContext', 'newEpoch', 'destroyEpoch', 'reach', 'bandwidth'] as const;

t.test('garbage is the fault of the request, and changes nothing', async (t) => {
  const quorum = quorumEngines(t, 4);
  const engines = await quorum.startAll();
  await settled(engines);
  const { link, describe } = present(engines[0]);
  const before = await describe();
  for (const call of CALLS) {
    await fc.assert(
      // Never empty: that asks for the default context where none has to be named.
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 64 }), async (body) => {
        const outcome = await link.call(ENGINE_METHOD[call], body).catch((error: unknown) => error);
        if (outcome instanceof Uint8Array) return call === 'reach' || call === 'bandwidth';
        return isKmsError(outcome) && ANSWERS.has(outcome.code);
      }),
      { numRuns: 60 },
    );
  }
  t.same((await describe()).threshold, before.threshold);
  const endless = { duration: 2n ** 64n - 1n, numberSessions: 1, payloadSizePerSession: 1 };
  const body = toBinary(BandwidthBenchmarkRequestSchema, create(BandwidthBenchmarkRequestSchema, endless));
  await t.rejects(link.call(ENGINE_METHOD.bandwidth, body), { code: 'REQUEST_INVALID', message: /duration/ });
});

const addresses = [1, 2, 3, 4, 5, 6, 7].map((byte) => new Uint8Array(20).fill(byte));
const record = {
  version: 1,
  network: 'dev:test',
  releaseKeys: [],
  parties: addresses.map((address, index) => ({ party: index + 1, ...(index === 6 ? {} : { address }) })),
  context: idBytes(parseRequestId(idOf(1))),
  authorizationPolicy: 'operator-trusted',
};

/** A context of the first four parties, with what a test changes. */
function request(change: (nodes: Record<string, unknown>[]) => unknown, threshold = 1): Uint8Array {
  const nodes: Record<string, unknown>[] = [1, 2, 3, 4].map((partyId) => ({
    partyId,
    mpcIdentity: `p${partyId}`,
    externalUrl: 'https://p.example:443',
    signerAddress: addresses[partyId - 1],
  }));
  change(nodes);
  const newContext = {
    contextId: { requestId: idOf(2) },
    softwareVersion: '1',
    threshold,
    mpcNodes: nodes as { partyId: number }[],
  };
  return toBinary(NewMpcContextRequestSchema, create(NewMpcContextRequestSchema, { newContext }));
}

t.test('a context is of parties of the record, under their numbers', async (t) => {
  const good = requestedContext(
    request(() => undefined),
    record,
    2,
  );
  t.match(good, { contextId: idOf(2), t: 1, party: 2 });
  t.same(
    good.nodes.map(({ party }) => party),
    [1, 2, 3, 4],
  );
  t.equal(
    requestedContext(
      request(() => undefined),
      record,
      5,
    ).party,
    0,
    'known as one of others',
  );
  t.equal(
    requestedContext(
      request((nodes) => nodes.reverse()),
      record,
      2,
    ).nodes[0]?.party,
    1,
    'in any order',
  );
  const byDigest = request((nodes) => {
    const schemeDigests = [{ scheme: SigningSchemeType.ECDSA256K1, digest: addresses[0] }];
    nodes[0] = { ...nodes[0], signerAddress: undefined, schemeDigests };
  });
  t.equal(requestedContext(byDigest, record, 1).party, 1, 'named by a digest');
});

t.test('a context that is none is refused with all that is wrong', async (t) => {
  const put = (index: number, change: object) => (nodes: Record<string, unknown>[]) => {
    nodes[index] = { ...nodes[index], ...change };
  };
  const bad: readonly [string, Uint8Array, RegExp][] = [
    [
      'two parties in each other’s place',
      request((nodes) => {
        put(0, { signerAddress: addresses[1] })(nodes);
        put(1, { signerAddress: addresses[0] })(nodes);
      }),
      /party 1 is 0x01.*not 0x02.*party 2 is 0x02.*not 0x01/,
    ],
    ['no address', request(put(3, { signerAddress: undefined })), /party 4 has neither/],
    ['a short address', request(put(3, { signerAddress: new Uint8Array(19) })), /signer_address/],
    ['one party twice', request(put(3, { partyId: 3 })), /party_id/],
    ['party 0', request(put(3, { partyId: 0 })), /party_id/],
    ['no port', request(put(2, { externalUrl: 'https://p.example' })), /external_url/],
    ['two of one identity', request(put(2, { mpcIdentity: 'p1' })), /mpc_identity/],
    ['one node', request((nodes) => nodes.splice(1), 0), /4, 7, 10 or 13/],
    ['another threshold', request(() => undefined, 0), /threshold/],
    ['no node', request((nodes) => nodes.splice(0)), /mpc_nodes/],
    ['no context', toBinary(NewMpcContextRequestSchema, create(NewMpcContextRequestSchema, {})), /new_context/],
  ];
  for (const [why, body, message] of bad) {
    t.throws(() => requestedContext(body, record, 1), { code: 'REQUEST_INVALID', message }, why);
  }
  const seven = request((nodes) => {
    for (const partyId of [5, 6, 7]) {
      nodes.push({ ...nodes[0], partyId, mpcIdentity: `p${partyId}`, signerAddress: addresses[partyId - 1] });
    }
  }, 2);
  const message = /party 7 is not enrolled in the record/;
  t.throws(() => requestedContext(seven, record, 1), { code: 'REQUEST_INVALID', message });
  const three = { ...record, parties: record.parties.slice(0, 3) };
  t.throws(
    () =>
      requestedContext(
        request(() => undefined),
        three,
        1,
      ),
    { message: /party 4 is not in the record/ },
  );
});
