/**
 * The guided first run: a key, a ciphertext under it, decrypted publicly and for one user, judged by the published
 * client. Every step is timed and printed.
 */
import { systemRandom } from '../../../common/random.ts';
import { generateUserKeyPair } from '../../../wire/signcryption.ts';
import type { PublicAnswer, UserAnswer } from '../client/answer.ts';
import { decryptPublicly } from '../client/decrypt.ts';
import { decryptForUser } from '../client/decrypt-for-user.ts';
import { requestDomain } from '../client/domain.ts';
import { DEFAULT_DOMAIN } from '../client/domain-options.ts';
import { encryptValues } from '../client/encrypt.ts';
import { generateKey, getKey, listItems, verifyKeySignature } from '../client/keys.ts';
import { withNode } from '../client/session.ts';
import { fetchNodeAddress } from '../client/signer.ts';
import type { User } from '../client/users.ts';
import type { Output } from '../framework/output.ts';
import type { Params, RunningNode } from '../supervise/run-node.ts';
import { judge, type Verdict } from './judge.ts';
import { openStopwatch, type Step } from './stopwatch.ts';

/** What came of a guided run. */
export interface FirstRun {
  readonly verified: boolean;
  readonly keyId: string;
  readonly params: Params;
  /** Address of the node. */
  readonly address: string;
  /** The value that was encrypted. */
  readonly value: string;
  readonly steps: readonly Step[];
  readonly publicAnswer: PublicAnswer;
  readonly userAnswer: UserAnswer;
  readonly verdict: Verdict;
}

/** What is encrypted: a euint64 in the form in which coprocessors hand ciphertexts over. */
const EXAMPLE = { value: 42n, fheType: 5, format: 2 } as const;
const EXPECTED_KEYGEN_MS: Readonly<Record<Params, number>> = { test: 2000, default: 60_000 };

/** Runs the tour against a node that is ready. */
export async function firstRun(running: RunningNode, output: Output): Promise<FirstRun> {
  const watch = openStopwatch(output, [{ name: 'start engine and core', ms: Math.round(running.readyMs) }]);
  const user = throwawayUser();
  try {
    return await withNode({ dir: running.dir }, async (session) => {
      const context = { domain: requestDomain(DEFAULT_DOMAIN), extraData: new Uint8Array() };
      const { params } = running.node;
      const address = await fetchNodeAddress(session.publicUrl);

      const reused = (await listItems(session, 'key')).findLast((item) => item.params === params);
      const key = await watch.step(
        reused === undefined ? `generate a TFHE key (${params} parameters)` : 'look up the key made earlier',
        async () => {
          const found = reused === undefined ? generateKey(session, params, context) : getKey(session, reused.id);
          verifyKeySignature(await found, address, context);
          return await found;
        },
        { expectedMs: EXPECTED_KEYGEN_MS[params], detail: ({ keyId }) => keyId },
      );

      const [item] = await watch.step(
        `encrypt ${EXAMPLE.value} as euint64 under it`,
        () => encryptValues(session, key.keyId, [EXAMPLE], context, quiet(output)),
        { expectedMs: 1500, detail: ([made]) => `${made?.ciphertext.byteLength ?? 0} bytes` },
      );
      if (item === undefined) throw new TypeError('one value gives one ciphertext');

      const ask = { ...context, items: [item], signer: address };
      const publicAnswer = await watch.step('decrypt it publicly', () => decryptPublicly(session, ask), {
        detail: ({ plaintexts }) => `${plaintexts[0]?.value}, signed by ${address}`,
      });
      const userAnswer = await watch.step('decrypt it for one user', () => decryptForUser(session, ask, user), {
        detail: ({ plaintexts, clientAddress }) => `${plaintexts[0]?.value}, for ${clientAddress} alone`,
      });
      const expected = [EXAMPLE.value.toString()];
      const verdict = await watch.step(
        "verify both answers with Zama's published client",
        () => judge({ params, signer: address, expected, publicAnswer, userAnswer, user }),
        {
          expectedMs: 1500,
          detail: ({ verified }) => (verified ? 'accepted' : 'NOT verified'),
          isGood: ({ verified }) => verified,
        },
      );
      const { verified } = verdict;
      const value = EXAMPLE.value.toString();
      return {
        verified,
        keyId: key.keyId,
        params,
        address,
        value,
        steps: watch.steps,
        publicAnswer,
        userAnswer,
        verdict,
      };
    });
  } finally {
    user.seed.fill(0);
  }
}

/** A user who lives for this run only: nothing of the key is written anywhere. */
function throwawayUser(): User {
  return { ...generateUserKeyPair(), address: systemRandom(20) };
}

/** The steps of the tour are the lines to read: those of the parts below stay unprinted. */
function quiet(output: Output): Output {
  return {
    ...output,
    progress: () => ({ update: () => {}, estimate: () => {}, done: () => 0, failed: () => 0 }),
  };
}
