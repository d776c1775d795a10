/**
 * A quorum of four with one party that lies all the time and one that is killed and comes back: 2,000 right answers, and
 * the liar is named.
 */
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { openKmsClient } from '../../parent/grpc/client.ts';
import { GrpcError, STATUS } from '../../parent/grpc/status.ts';
import type { PublicDecryptionRequest, PublicDecryptionResponse } from '../../proto/gen/kms_pb.js';
import { verifyPublicDecryption } from '../../wire/verify-response.ts';
import { publicDecryption } from '../helpers/party-requests.ts';
import { present } from '../helpers/present.ts';
import { handleOf } from '../helpers/requests.ts';
import { TEST_DOMAIN } from '../helpers/start-party.ts';
import { encryptForQuorum, type QuorumMember, startQuorum } from '../helpers/start-quorum.ts';

const DECRYPTIONS = 2000;
const IN_FLIGHT = 32;
const LIAR = 2;
const KILLED = 3;
/** What a client waits for one answer, over all its attempts. */
const PATIENCE_MS = 120_000;

const quorum = await startQuorum(t, { parties: 4, lyingParties: [LIAR] });
const [result] = await quorum.generateKey();
const keyId = present(result?.requestId?.requestId);
const values = Array.from({ length: 16 }, (_, i) => BigInt(i) * 0x0101_0101_0101_0101n);
const ciphertexts = await encryptForQuorum(
  quorum,
  keyId,
  values.map((value) => ({ value, fheType: 5 })),
);

/** Asks a party until it answers, as clients do while it is away. */
async function insist(member: QuorumMember, request: PublicDecryptionRequest): Promise<PublicDecryptionResponse> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await member.client.call('PublicDecryptSync', request, { timeoutMs: PATIENCE_MS });
    } catch (error) {
      const isAway = error instanceof GrpcError && error.status === STATUS.UNAVAILABLE;
      if (!isAway || performance.now() > until) throw error;
      await delay(50);
    }
  }
}

/** One decryption, asked at all parties; returns the verified value of each. */
async function decrypt(index: number): Promise<boolean> {
  const at = index % values.length;
  const request = publicDecryption(keyId, [{ ciphertext: present(ciphertexts[at]), fheType: 5 }]);
  const answers = await Promise.all(quorum.members.map((member) => insist(member, request)));
  return answers.every((answer, i) => {
    const signer = present(quorum.members[i]).address;
    const expected = { domain: TEST_DOMAIN.parsed, handles: [handleOf(1, 5)], extraData: new Uint8Array(), signer };
    // Signatures are checked of every tenth: the check takes longer than the decryption.
    const plaintext = index % 10 === 0 ? verifyPublicDecryption(answer, expected)[0] : answer.payload?.plaintexts[0];
    return Buffer.from(present(plaintext).bytes).readBigUInt64LE() === values[at];
  });
}

t.test('2,000 decryptions, one party lying, one killed and restarted in between', async (t) => {
  let next = 0;
  let right = 0;
  let restarted: Promise<void> | undefined;
  const killAndRestart = async () => {
    await quorum.running.stopParty(KILLED, true);
    await quorum.running.startParty(KILLED);
  };
  const worker = async () => {
    while (next < DECRYPTIONS) {
      const index = next++;
      if (index === DECRYPTIONS / 4) restarted = killAndRestart();
      if (await decrypt(index)) right += 1;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  await restarted;
  t.equal(right, DECRYPTIONS);
});

t.test('the others name the liar, and nobody else', async (t) => {
  for (const { party, node, logged } of quorum.members) {
    if (party === LIAR) continue;
    const admin = openKmsClient(`unix:${present(node.adminSocket)}`);
    t.teardown(() => admin.close());
    const { peers } = await admin.admin('ListPeers', {});
    const liars = peers
      .filter(
        ({ role, faults }) =>
          role === 'engine' && faults.some(({ kind, count }) => kind === 'wrong share' && count > 0n),
      )
      .map((peer) => peer.party);
    t.same(liars, party === KILLED ? liars : [LIAR], `seen by party ${party}`);
    await logged(/"wrong share"/);
  }
});

t.test('an engine that is killed alone comes back and serves the next request', async (t) => {
  process.kill(present(quorum.member(KILLED).pids().engine), 'SIGKILL');
  t.ok(await decrypt(0));
});

t.test(
  'whoever waits for an answer while all stop gets it, or is told cleanly, long before its wait would end',
  async (t) => {
    const ask = ({ client }: QuorumMember, request: PublicDecryptionRequest): Promise<PublicDecryptionResponse> =>
      client.call('PublicDecryptSync', request, { timeoutMs: PATIENCE_MS });
    // One party alone gets nothing: its caller would be told so after a minute.
    const alone = ask(quorum.member(1), publicDecryption(keyId, [{ ciphertext: present(ciphertexts[1]), fheType: 5 }]));
    const waits = Array.from({ length: IN_FLIGHT }, (_, i) => {
      const request = publicDecryption(keyId, [{ ciphertext: present(ciphertexts[i % values.length]), fheType: 5 }]);
      return quorum.members.map((member) => ask(member, request));
    });
    const began = performance.now();
    const settled = Promise.allSettled([alone, ...waits.flat()]);
    await Promise.race(waits.flat());
    await quorum.running.stop();
    const results = await settled;
    t.ok(performance.now() - began < 45_000, 'the wait of a minute was cut short');
    for (const result of results) {
      if (result.status === 'fulfilled') t.equal(result.value.payload?.plaintexts.length, 1, 'a whole answer');
      else t.match(result.reason, { name: 'GrpcError', status: STATUS.UNAVAILABLE });
    }
    t.equal(results[0]?.status, 'rejected', 'nothing is opened for one party');
  },
);
