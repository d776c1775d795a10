/** Contexts and epochs that a command line names: checked, sent with every request, and asked of their own parties alone. */
import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { runGenerateCrs } from '../../../../parent/cli/actions/crs.ts';
import { runDecrypt } from '../../../../parent/cli/actions/decrypt.ts';
import { runGenerate } from '../../../../parent/cli/actions/key.ts';
import type { PartyOutcome } from '../../../../parent/cli/client/ask-parties.ts';
import { type CiphertextItem, handleOf } from '../../../../parent/cli/client/ciphertext-file.ts';
import { decryptPublicly } from '../../../../parent/cli/client/decrypt.ts';
import { decryptForUser } from '../../../../parent/cli/client/decrypt-for-user.ts';
import { DEFAULT_DOMAIN, requestDomain } from '../../../../parent/cli/client/domain.ts';
import { generateCrs, generateKey } from '../../../../parent/cli/client/keys.ts';
import { partiesOf, readPlace } from '../../../../parent/cli/client/place.ts';
import { generateQuorumCrs, generateQuorumKey } from '../../../../parent/cli/client/quorum-keys.ts';
import type { PartySession, QuorumSession } from '../../../../parent/cli/client/quorum-session.ts';
import type { Session } from '../../../../parent/cli/client/session.ts';
import type { KnownContext } from '../../../../parent/cli/client/topology.ts';
import { openUser } from '../../../../parent/cli/client/users.ts';
import { crsCommand } from '../../../../parent/cli/commands/crs.ts';
import { decryptCommand } from '../../../../parent/cli/commands/decrypt.ts';
import { keyCommand } from '../../../../parent/cli/commands/key.ts';
import type { KmsRequest, KmsResponse, KmsRpcName } from '../../../../parent/grpc/client.ts';
import { CrsGenResultSchema, KeyGenResultSchema } from '../../../../proto/gen/kms_pb.js';
import { parseRequestId } from '../../../../wire/ids.ts';
import { answeringSession } from '../../../helpers/answering-session.ts';
import { QUIET } from '../../../helpers/quiet-output.ts';
import { createReferenceNode } from '../../../helpers/reference-node.ts';
import { idOf } from '../../../helpers/requests.ts';
import { PARTY_FILE } from './party-file.ts';

const [CONTEXT, EPOCH] = [idOf(71), idOf(81)];
const WANTED = { contextId: { requestId: CONTEXT }, epochId: { requestId: EPOCH } };
const NODE = createReferenceNode();
const REQUEST = { domain: requestDomain(DEFAULT_DOMAIN), extraData: new Uint8Array() };
const PLACED = { ...REQUEST, place: readPlace({ context: CONTEXT, epoch: EPOCH }) };
const OPTIONS = {
  domainName: DEFAULT_DOMAIN.name,
  domainVersion: DEFAULT_DOMAIN.version,
  domainChain: DEFAULT_DOMAIN.chainId,
  domainContract: DEFAULT_DOMAIN.verifyingContract,
  extraData: '',
};
const ciphertext = Uint8Array.of(1, 2, 3);
const item: CiphertextItem = {
  keyId: parseRequestId(idOf(2)),
  fheType: 5,
  format: 2,
  ciphertext,
  handle: handleOf(ciphertext, 5),
};

interface Seen {
  readonly rpc: string;
  readonly request: object;
}

/** A node that notes what it is asked, and has generated whatever it is asked for. */
function notingSession(dir: string, seen: Seen[]): Session {
  const session = answeringSession(dir, NODE, [{ bytes: new Uint8Array(8), fheType: 5 }]);
  const call = async <N extends KmsRpcName>(rpc: N, request: KmsRequest<N>): Promise<KmsResponse<N>> => {
    seen.push({ rpc, request });
    if (rpc.endsWith('DecryptSync')) return await session.call(rpc, request);
    const id = { requestId: idOf(5) };
    const made = rpc.includes('Crs')
      ? create(CrsGenResultSchema, { requestId: id })
      : create(KeyGenResultSchema, { requestId: id, preprocessingId: id });
    return made as KmsResponse<N>; // of the other answers nothing is read
  };
  return { ...session, call, poll: call };
}

function quorumOf(parties: number, down: readonly number[] = [], seen: Seen[] = [], dir = '/nowhere'): QuorumSession {
  const addresses = Array.from({ length: parties }, (_, at) => `0x${String(at + 1).padStart(40, '0')}`);
  const running = addresses
    .map((address, at): PartySession => ({ ...notingSession(dir, seen), party: at + 1, address, local: PARTY_FILE }))
    .filter(({ party }) => !down.includes(party));
  const missing = down.map((party) => ({ party, reason: 'it does not run' }));
  return { dir, parties, threshold: (parties - 1) / 3, running, missing, addresses };
}

const contextOf = ({ addresses }: QuorumSession, count: number, threshold = (count - 1) / 3): KnownContext => ({
  contextId: CONTEXT,
  threshold,
  nodes: addresses.slice(0, count).map((address, at) => ({ party: at + 1, address, endpoint: 'a:1' })),
  parties: [],
});

const say = (party: number, ...answer: readonly KnownContext[]): PartyOutcome<readonly KnownContext[]> => ({
  party,
  state: 'answered',
  answer,
});

t.test('nothing named is the default, and whatever is no id is named all at once', async (t) => {
  t.strictSame(readPlace({}), {});
  t.strictSame(readPlace({ epoch: ` 0x${EPOCH.toUpperCase()}` }), { epochId: WANTED.epochId });
  const refusal = { code: 'REQUEST_INVALID', message: /--context 'x' is no id; --epoch '0+' is no id/ };
  const usage = { ...refusal, facts: { usage: true, cure: /64 hexadecimal digits/ } };
  const wrong = { ...OPTIONS, dir: t.testdirName, context: 'x', epoch: '0'.repeat(64) };
  t.throws(() => readPlace(wrong), usage);
  await t.rejects(runGenerate(wrong, QUIET), usage);
  await t.rejects(runGenerateCrs(wrong, QUIET), usage);
  await t.rejects(runDecrypt([], { ...wrong, user: 'default' }, QUIET), usage);
});

t.test('the commands that generate and decrypt have both options, with an example', async (t) => {
  const generate = [keyCommand(), crsCommand()].map((command) =>
    command.commands.find((inner) => inner.name() === 'generate'),
  );
  for (const command of [...generate, decryptCommand()]) {
    const help: string[] = [];
    command?.configureOutput({ writeOut: (text) => help.push(text) }).outputHelp();
    t.match(help.join(''), /--context <id>[\s\S]*--epoch <id>[\s\S]*Examples:[\s\S]*--epoch 0f3a…/);
  }
});

t.test('every request of a node names the place, or none', async (t) => {
  const dir = t.testdir({});
  const user = await openUser(dir, 'default');
  for (const context of [PLACED, REQUEST]) {
    const seen: Seen[] = [];
    const session = notingSession(dir, seen);
    await generateKey(session, 'test', context);
    await generateCrs(session, { params: 'test' }, context);
    const ask = { ...context, items: [item], signer: NODE.addressText };
    await decryptPublicly(session, ask);
    await decryptForUser(session, ask, user);
    const requests = seen.filter(({ rpc }) => !rpc.startsWith('Get'));
    const rpcs = ['KeyGenPreproc', 'KeyGen', 'CrsGen', 'PublicDecryptSync', 'UserDecryptSync'];
    t.strictSame(
      requests.map(({ rpc }) => rpc),
      rpcs,
    );
    for (const { rpc, request } of requests) {
      if (context === PLACED) t.match(request, WANTED, rpc);
      else t.notOk('contextId' in request || 'epochId' in request, `${rpc}: the default`);
    }
  }
});

t.test('every party of a quorum is told the place; where one is down, a key is not to be had', async (t) => {
  const seen: Seen[] = [];
  const quorum = quorumOf(4, [], seen, t.testdir({}));
  // Nobody signed: what counts here is what was asked.
  await t.rejects(generateQuorumKey(quorum, 'test', PLACED), { code: 'ABORTED' });
  await t.rejects(generateQuorumCrs(quorum, { params: 'test' }, PLACED), { code: 'ABORTED' });
  const requests = seen.filter(({ rpc }) => !rpc.startsWith('Get'));
  t.equal(requests.length, 4 * 3);
  for (const { rpc, request } of requests) t.match(request, WANTED, rpc);

  await t.rejects(generateQuorumKey(quorumOf(4, [3]), 'test', REQUEST), {
    code: 'UNAVAILABLE',
    message: /needs 4 of 4 parties, 3 run \(party 3/,
    facts: { cure: /anew with all its parties, without --kill-party/ },
  });
});

t.test('a context of fewer parties is those parties, whoever else is down', async (t) => {
  const quorum = quorumOf(7, [4, 7]);
  const context = contextOf(quorum, 4);
  const reversed = { ...context, nodes: [...context.nodes].reverse() };
  const part = partiesOf(quorum, CONTEXT, [say(1, context), say(2, reversed), say(3, context), say(5)]);
  t.match(part, { parties: 4, threshold: 1, missing: [{ party: 4 }] });
  t.strictSame(
    part.running.map(({ party }) => party),
    [1, 2, 3],
  );
  t.strictSame(part.addresses, quorum.addresses.slice(0, 4));
});

t.test('what a context is, t parties cannot make up', async (t) => {
  const quorum = quorumOf(7);
  const [right, wrong] = [contextOf(quorum, 7), contextOf(quorum, 1, 0)];
  const silent = { party: 7, state: 'down', reason: 'it does not run' } as const;
  t.throws(() => partiesOf(quorum, CONTEXT, [say(1, wrong), say(2, wrong), say(3), silent]), {
    code: 'ABORTED',
    message: /2 of the needed 3 parties say the same/,
    cause: { message: /party 7 is down/ },
  });
  const told = [say(1, wrong), say(2, wrong), say(3, right), say(4, right), say(5, right)];
  t.match(partiesOf(quorum, CONTEXT, told), { parties: 7, threshold: 2 });
  t.throws(() => partiesOf(quorum, idOf(99), told), { code: 'NOT_FOUND', facts: { cure: /arca context list/ } });
});
