/**
 * Answers as files, for `arca verify`, and as the lines that a person reads.
 */
import { writeFile } from 'node:fs/promises';
import type { Output } from '../framework/output.ts';
import type { AnswerFile } from './answer.ts';

/** Writes an answer where it was asked for. */
export async function handAnswer(answer: AnswerFile, out: string | undefined, output: Output): Promise<void> {
  if (out === undefined) return;
  await writeFile(out, `${JSON.stringify(answer, null, 2)}\n`, { mode: 0o600 });
  output.note(`the answer is in ${out}; verify it with 'arca verify ${out}'`);
}

/** Returns the values of an answer, a line for each. */
export function showAnswer({ plaintexts }: Pick<AnswerFile, 'plaintexts'>): string {
  return plaintexts.map(({ type, value }) => `${type} ${value}`).join('\n');
}
