/** Answers of a quorum: collected, compared, verified; parties that lie, are late or down are named and change nothing. */
import fc from 'fast-check';
import t from 'tap';
import { KmsError } from '../../../../common/errors.ts';
import { AnswerFile, type QuorumPublicAnswer, type QuorumUserAnswer } from '../../../../parent/cli/client/answer.ts';
import { askParties, atAllParties, describeSilence, majority } from '../../../../parent/cli/client/ask-parties.ts';
import { type CiphertextItem, handleOf } from '../../../../parent/cli/client/ciphertext-file.ts';
import { askUserShare } from '../../../../parent/cli/client/decrypt-for-user.ts';
import { decryptByQuorum } from '../../../../parent/cli/client/decrypt-quorum.ts';
import { DEFAULT_DOMAIN, requestDomain } from '../../../../parent/cli/client/domain.ts';
import type { PartySession, QuorumSession } from '../../../../parent/cli/client/quorum-session.ts';
import { openUser } from '../../../../parent/cli/client/users.ts';
import { verifyQuorumAnswer } from '../../../../parent/cli/client/verify-quorum-answer.ts';
import { parseRequestId } from '../../../../wire/ids.ts';
import { answeringSession } from '../../../helpers/answering-session.ts';
import { createReferenceNode, type ReferenceNode } from '../../../helpers/reference-node.ts';
import { idOf } from '../../../helpers/requests.ts';
import { PARTY_FILE } from './party-file.ts';

const NODES = [1, 2, 3, 4].map((party) => createReferenceNode(new Uint8Array(32).fill(party)));
const ADDRESSES = NODES.map(({ addressText }) => addressText);
const STRANGER = createReferenceNode(new Uint8Array(32).fill(9));
const RIGHT = { bytes: Uint8Array.of(42, 0, 0, 0, 0, 0, 0, 0), fheType: 5 };
const WRONG = { bytes: Uint8Array.of(43, 0, 0, 0, 0, 0, 0, 0), fheType: 5 };
const ciphertext = Uint8Array.of(1, 2, 3);
const item: CiphertextItem = {
  keyId: parseRequestId(idOf(2)),
  fheType: 5,
  format: 2,
  ciphertext,
  handle: handleOf(ciphertext, 5),
};
const ASK = { domain: requestDomain(DEFAULT_DOMAIN), extraData: new Uint8Array(), items: [item] };

type Behaviour = 'honest' | 'lies' | 'stranger' | 'fails' | 'silent' | 'down';

/** Four parties that behave as told. */
function quorumOf(dir: string, behaviours: readonly Behaviour[]): QuorumSession {
  const running: PartySession[] = [];
  const missing: { party: number; reason: string }[] = [];
  for (const [at, behaviour] of behaviours.entries()) {
    const node: ReferenceNode = behaviour === 'stranger' ? STRANGER : (NODES[at] ?? STRANGER);
    const party = at + 1;
    if (behaviour === 'down') {
      missing.push({ party, reason: 'it does not run' });
      continue;
    }
    const session = answeringSession(dir, node, [behaviour === 'lies' ? WRONG : RIGHT]);
    const refuse = (): Promise<never> => Promise.reject(new KmsError('UNAVAILABLE', 'asked at 1 of 3 parties'));
    const hang = (): Promise<never> => new Promise(() => {});
    const call = behaviour === 'fails' ? refuse : behaviour === 'silent' ? hang : session.call;
    running.push({ ...session, call, poll: call, party, address: ADDRESSES[at] ?? '', local: PARTY_FILE });
  }
  return { dir, parties: 4, threshold: 1, running, missing, addresses: ADDRESSES };
}

t.test('t + 1 equal signed answers are the result, and every other party is named', async (t) => {
  const cases: readonly [readonly Behaviour[], readonly number[], RegExp | undefined][] = [
    [['honest', 'honest', 'honest', 'honest'], [1, 2, 3, 4], undefined],
    [['honest', 'lies', 'honest', 'honest'], [1, 3, 4], /party 2 disagrees: it signed euint64 43/],
    [['down', 'honest', 'honest', 'honest'], [2, 3, 4], /party 1 is down: it does not run/],
    [['honest', 'honest', 'fails', 'honest'], [1, 2, 4], /party 3 failed: asked at 1 of 3/],
    [['honest', 'honest', 'honest', 'stranger'], [1, 2, 3], /party 4 failed: .*expected node/],
    [['lies', 'honest', 'honest', 'down'], [2, 3], /party 1 disagrees/],
  ];
  for (const [behaviours, agreed, said] of cases) {
    const result = await decryptByQuorum(quorumOf(t.testdirName, behaviours), ASK);
    t.strictSame(result.agreed, agreed, behaviours.join());
    t.match(result.answer.plaintexts, [{ type: 'euint64', value: '42' }], behaviours.join());
    t.match(result.others.join('\n'), said ?? /^$/, behaviours.join());
    t.strictSame(verifyQuorumAnswer(result.answer, ADDRESSES).signers.length, agreed.length, behaviours.join());
  }
});

t.test('too few parties, or too few that agree, are a failure that says why of each', async (t) => {
  const dir = t.testdirName;
  await t.rejects(decryptByQuorum(quorumOf(dir, ['down', 'down', 'honest', 'honest']), ASK), {
    code: 'UNAVAILABLE',
    message: /needs 3 of 4 parties, 2 run/,
  });
  await t.rejects(decryptByQuorum(quorumOf(dir, ['stranger', 'fails', 'stranger', 'honest']), ASK), {
    code: 'ABORTED',
    message: /1 of the needed 2/,
    cause: /party 1 failed[\s\S]*party 2 failed[\s\S]*party 3 failed/,
    facts: { cure: /arca status.*--epoch/ },
  });
});

t.test('a party that takes long keeps nobody waiting once enough have answered', async (t) => {
  const { running, missing } = quorumOf(t.testdirName, ['honest', 'silent', 'honest', 'down']);
  const asked: AbortSignal[] = [];
  const outcomes = await askParties(
    { running, missing },
    async ({ party, call }, signal) => {
      asked.push(signal);
      await (party === 2 ? call('GetHealthStatus', {}) : undefined);
      return party;
    },
    { enough: (answers) => answers.length >= 2, graceMs: 1 },
  );
  t.strictSame(
    outcomes.map(({ party, state }) => `${party} ${state}`),
    ['1 answered', '2 late', '3 answered', '4 down'],
  );
  t.ok(
    asked.every(({ aborted }) => aborted),
    'the late one is told that it is not needed',
  );
  t.strictSame(describeSilence(outcomes), ['party 2 has not answered yet', 'party 4 is down: it does not run']);
});

t.test('a party that is at work is asked again under the same id; nobody is waited for without end', async (t) => {
  const quorum = quorumOf(t.testdirName, ['honest', 'honest', 'honest', 'down']);
  const never = (): Promise<never> => Promise.reject(new Error('a busy party is asked with poll'));
  const running = quorum.running.map((session) => ({ ...session, call: never }));
  const { agreed, others } = await decryptByQuorum({ ...quorum, running }, ASK);
  t.strictSame(agreed, [1, 2, 3]);
  t.strictSame(others, ['party 4 is down: it does not run']);
  const outcomes = await askParties(quorum, () => new Promise<never>(() => {}), { enough: () => false, limitMs: 1 });
  t.strictSame(
    outcomes.map(({ state }) => state),
    ['late', 'late', 'late', 'down'],
  );
});

t.test('what all parties must do ends at the first that fails, which is named', async (t) => {
  const parties = [{ party: 1 }, { party: 2 }, { party: 3 }];
  let cancelled = 0;
  const act = async ({ party }: { readonly party: number }, signal: AbortSignal): Promise<number> => {
    if (party === 2) throw new KmsError('NOT_FOUND', 'no such context');
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    cancelled += 1;
    return party;
  };
  await t.rejects(atAllParties(parties, act), {
    code: 'NOT_FOUND',
    message: 'party 2: no such context',
    facts: { party: 2 },
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(cancelled, 2);
});

t.test('the greatest group of equal answers wins, whatever the order', async (t) => {
  const votes = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 13 });
  fc.assert(
    fc.property(votes, (said) => {
      const { agreed, others } = majority(
        said.map((answer, at) => ({ party: at + 1, answer })),
        (answer) => answer,
      );
      const counts = ['a', 'b', 'c'].map((vote) => said.filter((one) => one === vote).length);
      return (
        agreed.length === Math.max(...counts) &&
        agreed.length + others.length === said.length &&
        new Set(agreed.map(({ answer }) => answer)).size === 1
      );
    }),
  );
  t.pass('1 property');
});

const flip = (text: string): string => `${text.slice(0, -1)}${text.endsWith('0') ? '1' : '0'}`;

t.test('every change of a public answer in its file costs the signature of that party', async (t) => {
  const { answer } = await decryptByQuorum(quorumOf(t.testdirName, ['honest', 'honest', 'honest', 'honest']), ASK);
  const verify = (changed: object, trusted: readonly string[] = ADDRESSES) => {
    const parsed = AnswerFile.parse(JSON.parse(JSON.stringify(changed)));
    return verifyQuorumAnswer(parsed as QuorumPublicAnswer, trusted); // changes below leave the kind as it is
  };
  t.equal(verify(answer).signers.length, 4);
  const [first, second, third, fourth] = answer.answers;
  if (!first || !second || !third || !fourth) throw new TypeError('four parties signed');
  const value = [{ type: 'euint64', value: '43', handle: first.plaintexts[0]?.handle ?? '' }];
  const changes: readonly [string, object][] = [
    ['payload', { payload: flip(first.payload) }],
    ['signature', { signature: flip(first.signature) }],
    ['external signature', { externalSignature: flip(first.externalSignature) }],
    ['signer', { signer: STRANGER.addressText }],
    ['another party as signer', { signer: second.signer }],
    ['value', { plaintexts: value }],
    ['request', { requestId: idOf(9) }],
    ['domain', { domain: { ...first.domain, chainId: '1' } }],
    ['extra data', { extraData: '00' }],
  ];
  for (const [why, change] of changes) {
    const changed = { ...answer, answers: [second, { ...first, ...change }, third] };
    const { signers, refused } = verify(changed);
    t.ok(signers.length <= 2 && refused.length >= 1, why);
    t.throws(
      () => verify({ ...answer, answers: [{ ...first, ...change }, fourth] }),
      { code: 'PERMISSION_DENIED' },
      why,
    );
  }
  t.throws(() => verify({ ...answer, plaintexts: value }), { code: 'PERMISSION_DENIED' }, 'the value on the outside');
  t.throws(() => verify({ ...answer, threshold: 1, answers: [first] }), /1 of the needed 2/, 'one is not enough');
  t.throws(() => verify({ ...answer, answers: [first, first, first] }), /1 of the needed 2/, 'one party three times');
  t.throws(
    () =>
      verify(answer, [
        ...ADDRESSES.slice(0, 1),
        ...[5, 6, 7].map((at) => createReferenceNode(new Uint8Array(32).fill(at)).addressText),
      ]),
    /1 of the needed 2/,
    'a quorum of strangers',
  );
  for (const bad of [[], Array.from({ length: 14 }, () => first)]) {
    t.notOk(AnswerFile.safeParse({ ...answer, answers: bad }).success, `${bad.length} answers`);
  }
  t.notOk(AnswerFile.safeParse({ ...answer, threshold: 0 }).success);
});

t.test("shares of a user's answer need 2t + 1 parties that signed them for this very request", async (t) => {
  const dir = t.testdir({});
  const user = await openUser(dir, 'default');
  const other = await openUser(dir, 'other');
  const { running } = quorumOf(dir, ['honest', 'honest', 'honest', 'honest']);
  const requestId = parseRequestId(idOf(7));
  const share = (at: number, whose = user) => {
    const session = running[at];
    if (session === undefined) throw new TypeError('there are four parties');
    return askUserShare(session, { ...ASK, requestId, signer: session.address }, whose, new AbortController().signal);
  };
  const answers = await Promise.all([0, 1, 2, 3].map((at) => share(at)));
  t.strictSame(answers[0]?.plaintexts, [], 'a share says nothing by itself');
  const whole: QuorumUserAnswer = {
    kind: 'quorum-user-decryption',
    threshold: 1,
    requestId,
    keyId: item.keyId,
    plaintexts: [],
    verified: true,
    answers,
  };
  t.equal(verifyQuorumAnswer(whole, ADDRESSES).signers.length, 4);
  const [first, second, third] = answers;
  if (!first || !second || !third) throw new TypeError('four parties gave a share');
  t.throws(() => verifyQuorumAnswer({ ...whole, answers: [first, second] }, ADDRESSES), /2 of the needed 3/);
  const foreign = await share(2, other);
  t.throws(() => verifyQuorumAnswer({ ...whole, answers: [first, second, foreign] }, ADDRESSES), /2 of the needed 3/);
  const relinked = { ...foreign, clientAddress: first.clientAddress, encKey: first.encKey };
  t.throws(() => verifyQuorumAnswer({ ...whole, answers: [first, second, relinked] }, ADDRESSES), /2 of the needed 3/);
  const stranger = { ...answeringSession(dir, STRANGER, [RIGHT]), address: ADDRESSES[0] ?? '' };
  await t.rejects(
    askUserShare(stranger, { ...ASK, requestId, signer: stranger.address }, user, new AbortController().signal),
    { code: 'PERMISSION_DENIED' },
  );
});
