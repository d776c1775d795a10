/**
 * Puts the shares of a user's answer together with Zama's published client, in a process of its own that imports nothing of
 * ours. SECRET: the user's key goes to its standard input and nowhere else.
 */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { fromHex } from '../../../common/bytes.ts';
import type { TypedPlaintextData } from '../../../wire/payloads.ts';
import { expandedPrivateKey } from '../../../wire/signcryption.ts';
import { failure } from '../framework/failure.ts';
import { packagePath } from '../framework/package-files.ts';
import { runScript } from '../framework/run-script.ts';
import type { Params } from '../supervise/run-node.ts';
import type { UserAnswer } from './answer.ts';
import type { User } from './users.ts';

/** What is put together. */
export interface UserShares {
  readonly answers: readonly UserAnswer[];
  /** Addresses of all parties, in their order. */
  readonly addresses: readonly string[];
  /** So many answers are put together at least. */
  readonly least: number;
  readonly params: Params;
  readonly user: User;
}

/** What the shares give. */
export interface OpenedShares {
  /** In the order of the request. */
  readonly plaintexts: readonly TypedPlaintextData[];
  /** Indices of answers whose shares were wrong and have been corrected. Told only of as many as can be corrected at all. */
  readonly wrong: readonly number[];
}

const SCRIPT = 'scripts/open-user-answers.mjs';
const Opened = z.strictObject({
  plaintexts: z.array(z.strictObject({ bytes: z.string().regex(/^(?:[0-9a-f]{2})*$/), fheType: z.int() })),
  wrong: z.array(z.int().nonnegative()),
});

/**
 * Returns the plaintexts, and whose share was wrong.
 *
 * @throws {@link KmsError} `UNAVAILABLE` without the published client, `CIPHERTEXT_INVALID` with the client's own words if
 *   it refuses.
 */
export async function openUserShares(shares: UserShares): Promise<OpenedShares> {
  const script = packagePath(SCRIPT);
  const cure = "it comes with a clone of the project: 'npm ci' there";
  if (!existsSync(script))
    throw failure('UNAVAILABLE', 'the published client is not here to put shares together', cure);
  const { code, stdout, stderr } = await runScript(script, inputOf(shares));
  const missing = /Cannot find package '([^']+)'/.exec(stderr)?.[1];
  if (missing !== undefined) throw failure('UNAVAILABLE', `the published client ${missing} is not installed`, cure);
  const parsed = code === 0 ? Opened.safeParse(parseJson(stdout)) : undefined;
  if (parsed?.success !== true) {
    const words = stderr
      .trim()
      .split('\n')
      .slice(0, 5)
      .join('\n')
      .replace(/[^\x20-\x7e\n]/g, '?');
    const what = 'the published client could not put the shares together';
    throw failure('CIPHERTEXT_INVALID', what, 'try again when more parties answer', {}, new Error(words));
  }
  // The client hands values out with the high byte first.
  const plaintexts = parsed.data.plaintexts.map(({ bytes, fheType }) => ({ bytes: fromHex(bytes).reverse(), fheType }));
  return { plaintexts, wrong: parsed.data.wrong };
}

function inputOf({ answers, addresses, least, params, user }: UserShares): string {
  const [first] = answers;
  const secretKey = expandedPrivateKey(user.seed);
  try {
    return JSON.stringify({
      params,
      addresses,
      least,
      domain: first?.domain,
      handles: first?.handles,
      clientAddress: first?.clientAddress,
      encKey: first?.encKey,
      secretKey: Buffer.from(secretKey).toString('base64'),
      responses: answers.map(({ payload, externalSignature, extraData }) => ({
        payload,
        signature: externalSignature,
        extra_data: extraData,
      })),
    });
  } finally {
    secretKey.fill(0);
  }
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
