/**
 * How a command fails: what was wrong, its cause, and what to do about it.
 *
 * Every failure is a `KmsError`; the cure travels in `facts.cure`. Exit codes: 0 ok, 1 failed, 2 usage.
 */
import { z } from 'zod';
import { type ErrorCode, type Fact, isKmsError, KmsError, systemErrorCode } from '../../../common/errors.ts';

/** The process exit codes of every command. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** Returns an error that names what was wrong and what the person at the terminal can do. */
export function failure(
  code: ErrorCode,
  message: string,
  cure: string,
  facts: Readonly<Record<string, Fact>> = {},
  cause?: unknown,
): KmsError {
  return new KmsError(code, message, { ...facts, cure }, cause);
}

/** Returns a wrong-usage error: the command line itself cannot be carried out (exit code 2). */
export function usageFailure(message: string, cure: string): KmsError {
  return new KmsError('REQUEST_INVALID', message, { cure, usage: true });
}

/** A failure as it is printed and as `--json` gives it. */
export interface FailureReport {
  readonly code: string;
  readonly message: string;
  readonly causes: readonly string[];
  readonly cure?: string;
}

/** Returns the printable form of anything thrown, following the chain of causes. */
export function describeFailure(error: unknown): FailureReport {
  const code = isKmsError(error) ? error.code : 'INTERNAL';
  const cure = isKmsError(error) && typeof error.facts.cure === 'string' ? error.facts.cure : undefined;
  const causes: string[] = [];
  for (let next = error instanceof Error ? error.cause : undefined; next !== undefined && causes.length < 5; ) {
    const text = textOf(next);
    if (text !== '') causes.push(text);
    next = next instanceof Error ? next.cause : undefined;
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code, message, causes, ...(cure === undefined ? {} : { cure }) };
}

/** One line: the message of a zod error is a JSON document. */
function textOf(cause: unknown): string {
  if (cause instanceof z.ZodError) {
    return cause.issues.map(({ path, message }) => [...path.map(String), message].join(': ')).join('; ');
  }
  return cause instanceof Error ? cause.message : String(cause);
}

/** Returns the exit code for anything thrown by a command. */
export function exitCodeOf(error: unknown): number {
  return isKmsError(error) && error.facts.usage === true ? EXIT.usage : EXIT.failed;
}

/** Returns whether a system error carries the given code, e.g. `ENOENT`. */
export function hasCode(error: unknown, code: string): boolean {
  return systemErrorCode(error) === code;
}
