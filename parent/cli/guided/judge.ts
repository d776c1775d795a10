/**
 * The judge of the guided run: a process of its own that imports nothing of ours and has Zama's published client
 * decode the user's answer, and viem recover the signer of the public one.
 */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { expandedPrivateKey } from '../../../wire/signcryption.ts';
import type { PublicAnswer, UserAnswer } from '../client/answer.ts';
import type { User } from '../client/users.ts';
import { packagePath } from '../framework/package-files.ts';
import { runScript } from '../framework/run-script.ts';
import type { Params } from '../supervise/run-node.ts';

/** What is judged, and what would be right. */
export interface Case {
  readonly params: Params;
  /** Address of the node. */
  readonly signer: string;
  /** The values that were encrypted, as decimal text. */
  readonly expected: readonly string[];
  readonly publicAnswer: PublicAnswer;
  readonly userAnswer: UserAnswer;
  /** SECRET seed inside: goes to the judge's standard input and nowhere else. */
  readonly user: User;
}

const part = z.looseObject({ ok: z.boolean(), values: z.array(z.string()) });
const Verdict = z.looseObject({
  verified: z.boolean(),
  public: part.extend({ signer: z.string() }).optional(),
  user: part.optional(),
  error: z.string().optional(),
});

/** What the judge says. */
export type Verdict = z.infer<typeof Verdict>;

/** Has the answers judged. Without the published client there is no verdict, which is not a verified one. */
export async function judge(given: Case): Promise<Verdict> {
  const script = packagePath('scripts/verify-answer.mjs');
  if (!existsSync(script)) {
    return { verified: false, error: 'not judged: the published client comes with a clone of the project only' };
  }
  const { code, stdout, stderr } = await runScript(script, caseJson(given));
  const verdict = Verdict.safeParse(parseJson(stdout));
  // Both must agree: what it says and how it ended.
  if (verdict.success) return { ...verdict.data, verified: verdict.data.verified && code === 0 };
  const missing = /Cannot find package '([^']+)'/.exec(stderr)?.[1];
  if (missing !== undefined) return { verified: false, error: `not judged: ${missing} is not installed (npm ci)` };
  const words = stderr.trim().split('\n').slice(0, 5).join('\n');
  return { verified: false, error: `the judge gave no verdict: ${words}` };
}

function caseJson({ params, signer, expected, publicAnswer, userAnswer, user }: Case): string {
  const secretKey = expandedPrivateKey(user.seed);
  try {
    return JSON.stringify({
      params,
      signer,
      expected,
      public: { ...publicAnswer, values: publicAnswer.plaintexts.map(({ value }) => value) },
      user: { ...userAnswer, secretKey: Buffer.from(secretKey).toString('base64') },
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
