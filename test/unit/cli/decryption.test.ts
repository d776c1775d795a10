import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { type Answer, Answer as AnswerSchema, verifyAnswer } from '../../../parent/cli/client/answer.ts';
import { type CiphertextItem, handleOf } from '../../../parent/cli/client/ciphertext-file.ts';
import { decryptPublicly } from '../../../parent/cli/client/decrypt.ts';
import { decryptForUser } from '../../../parent/cli/client/decrypt-for-user.ts';
import { DEFAULT_DOMAIN, requestDomain } from '../../../parent/cli/client/domain.ts';
import { openUser } from '../../../parent/cli/client/users.ts';
import { judge } from '../../../parent/cli/guided/judge.ts';
import { parseRequestId } from '../../../wire/ids.ts';
import { answeringSession } from '../../helpers/answering-session.ts';
import { createReferenceNode } from '../../helpers/reference-node.ts';
import { idOf } from '../../helpers/requests.ts';

const node = createReferenceNode();
const signer = node.addressText;
const other = createReferenceNode(new Uint8Array(32).fill(7));
const PLAINTEXT = { bytes: Uint8Array.of(42, 0, 0, 0, 0, 0, 0, 0), fheType: 5 };

const ciphertext = Uint8Array.of(1, 2, 3);
const item: CiphertextItem = {
  keyId: parseRequestId(idOf(2)),
  fheType: 5,
  format: 2,
  ciphertext,
  handle: handleOf(ciphertext, 5),
};
const ask = { domain: requestDomain(DEFAULT_DOMAIN), extraData: new Uint8Array(), items: [item], signer };

/** Flips the last digit of a hexadecimal text. */
const flip = (text: string) => `${text.slice(0, -1)}${text.endsWith('0') ? '1' : '0'}`;

t.test('a public decryption is verified, and its answer verifies again from its file', async (t) => {
  const answer = await decryptPublicly(answeringSession(t.testdirName, node, [PLAINTEXT]), ask);
  t.match(answer, {
    kind: 'public-decryption',
    plaintexts: [{ type: 'euint64', value: '42' }],
    signer,
    verified: true,
  });
  const file = AnswerSchema.parse(JSON.parse(JSON.stringify(answer)));
  verifyAnswer(file, signer);
});

t.test('an answer of another node, of too many values or of another width is refused', async (t) => {
  await t.rejects(decryptPublicly(answeringSession('', other, [PLAINTEXT]), ask), { code: 'REQUEST_INVALID' }, 'node');
  const twice = answeringSession('', node, [PLAINTEXT, PLAINTEXT]);
  await t.rejects(decryptPublicly(twice, ask), { code: 'REQUEST_INVALID' }, 'count');
  const user = await openUser(t.testdir({}), 'default');
  await t.rejects(decryptForUser(answeringSession('', other, [PLAINTEXT]), ask, user), { code: 'REQUEST_INVALID' });
});

t.test('every changed field of an answer is found', async (t) => {
  const dir = t.testdir({});
  const session = answeringSession(dir, node, [PLAINTEXT]);
  const answers: Answer[] = [
    await decryptPublicly(session, ask),
    await decryptForUser(session, ask, await openUser(dir, 'default')),
  ];
  for (const answer of answers) {
    verifyAnswer(answer, signer);
    const changes: [string, Partial<Answer>][] = [
      ['payload', { payload: flip(answer.payload) }],
      ['signature', { signature: flip(answer.signature) }],
      ['external signature', { externalSignature: flip(answer.externalSignature) }],
      ['short signature', { externalSignature: answer.externalSignature.slice(2) }],
      ['handle', { handles: [flip(answer.handles[0] ?? '')] }],
      ['handles', { handles: [...answer.handles, ...answer.handles] }],
      ['extra data', { extraData: '00' }],
      ['domain', { domain: { ...answer.domain, chainId: '1' } }],
    ];
    if (answer.kind === 'public-decryption') {
      const [plaintext] = answer.plaintexts;
      changes.push(['value', { plaintexts: [{ type: 'euint64', value: '43', handle: plaintext?.handle ?? '' }] }]);
      changes.push(['request', { requestId: idOf(9) }]);
    } else {
      changes.push(['client address', { clientAddress: signer }], ['key', { encKey: flip(answer.encKey) }]);
    }
    for (const [why, change] of changes) {
      t.throws(() => verifyAnswer(AnswerSchema.parse({ ...answer, ...change }), signer), `${answer.kind}: ${why}`);
    }
    t.throws(() => verifyAnswer(answer, other.addressText), { code: 'PERMISSION_DENIED' }, `${answer.kind}: signer`);
  }
});

t.test('a user key pair is made once, read again, kept private, and refused when damaged', async (t) => {
  const dir = t.testdir({});
  const user = await openUser(dir, 'alice');
  const again = await openUser(dir, 'alice');
  t.same([again.address, again.encKey, again.seed], [user.address, user.encKey, user.seed]);
  t.equal((await stat(join(dir, 'users', 'alice.key'))).mode & 0o777, 0o600);
  t.notSame((await openUser(dir, 'bob')).address, user.address);
  const whole = await readFile(join(dir, 'users', 'bob.key'));
  for (const bytes of [whole.subarray(1), Buffer.concat([whole, whole]), Buffer.alloc(whole.byteLength)]) {
    await writeFile(join(dir, 'users', 'eve.key'), bytes);
    await t.rejects(openUser(dir, 'eve'), { code: 'STATE_INVALID', message: /no user key pair/ });
  }
  for (const name of ['../eve', '', '.', 'a/b', 'a'.repeat(65)]) {
    await t.rejects(openUser(dir, name), { code: 'REQUEST_INVALID', facts: { usage: true } }, `'${name}'`);
  }
});

t.test('the published client judges both answers, and refuses any that was changed', async (t) => {
  const dir = t.testdir({});
  const session = answeringSession(dir, node, [PLAINTEXT]);
  const user = await openUser(dir, 'default');
  const right = {
    params: 'test',
    signer,
    expected: ['42'],
    publicAnswer: await decryptPublicly(session, ask),
    userAnswer: await decryptForUser(session, ask, user),
    user,
  } as const;
  t.match(await judge(right), {
    verified: true,
    public: { ok: true, signer, values: ['42'] },
    user: { ok: true, values: ['42'] },
  });
  const { publicAnswer, userAnswer } = right;
  const wrong = [
    ['expected value', { ...right, expected: ['43'] }],
    ['signer', { ...right, signer: other.addressText }],
    [
      'public signature',
      { ...right, publicAnswer: { ...publicAnswer, externalSignature: flip(publicAnswer.externalSignature) } },
    ],
    ['user payload', { ...right, userAnswer: { ...userAnswer, payload: flip(userAnswer.payload) } }],
    ['user key', { ...right, user: await openUser(dir, 'another') }],
  ] as const;
  for (const [why, given] of wrong) t.match(await judge(given), { verified: false }, why);
});
