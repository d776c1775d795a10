/**
 * The one logger: JSON lines by pino, written by the process itself (no transports, no worker threads).
 *
 * A line is an event name and facts: `log.info({ event: 'keygen.done', requestId, ms })`. Secrets never reach a
 * logger; redaction by field name below is the second fence, not the first.
 */
import { type DestinationStream, destination as openDestination, type Logger as PinoLogger, pino } from 'pino';
import { systemClock } from './clock.ts';
import { isKmsError } from './errors.ts';

/** A logger with the usual levels; `child` adds facts to every line. */
export type Logger = PinoLogger;

/** How much a process says, from everything to nothing. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** A name out of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Field names that are blotted out wherever they stand, down to the third level of a line. */
const SECRET_FIELDS = [
  'secret',
  'secretKey',
  'secretBytes',
  'privateKey',
  'plaintext',
  'plaintexts',
  'seed',
  'share',
  'shares',
  'sharedSecret',
  'decryptionKey',
  'password',
  'authorization',
  'ciphertext',
  'ciphertexts',
  'encKey',
  'enc_key',
];

const REDACTED_PATHS = SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]);

const UNUSED_ERROR_KEY = 'unused error key';

/** Settings of {@link createLogger}. */
export interface LoggerOptions {
  /** Process or part that speaks: `engine`, `core`, `cli`. */
  readonly name: string;
  readonly level: LogLevel;
  /** Where lines go; standard output, unbuffered, if absent. */
  readonly destination?: DestinationStream;
}

/**
 * Makes the logger of one process.
 *
 * An error under `err` is written as its type, code, message and facts. Stacks stand at `debug` and `trace` only,
 * and causes never do: a foreign library's error may quote its input.
 */
export function createLogger({ name, level, destination }: LoggerOptions): Logger {
  const withStack = level === 'debug' || level === 'trace';
  return pino(
    {
      name,
      level,
      base: { name, pid: process.pid },
      timestamp: () => `,"time":"${new Date(systemClock.nowMs()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
      // pino would copy an error's message to the line; messages that are not ours may quote a request.
      errorKey: UNUSED_ERROR_KEY,
      hooks: {
        logMethod([first, ...rest], method) {
          if (first instanceof Error) method.call(this, { err: first });
          else method.call(this, first, ...rest);
        },
      },
      serializers: { err: (value: unknown) => describeError(value, withStack) },
    },
    destination ?? openDestination({ fd: 1, sync: true }),
  );
}

function describeError(value: unknown, withStack: boolean): Record<string, unknown> {
  if (!(value instanceof Error)) return { type: typeof value };
  const frames = stackFrames(value);
  const stack = withStack ? { stack: frames.join('\n') } : {};
  // Only our own messages are known to hold nothing secret; a stray library error keeps its type and place.
  if (isKmsError(value))
    return { ...value.facts, type: value.name, code: value.code, message: value.message, ...stack };
  const code = 'code' in value && typeof value.code === 'string' ? { code: value.code } : {};
  return { type: value.name, ...code, at: frames[0], ...stack };
}

/** The places of a stack, without the message that stands above them. */
function stackFrames({ stack = '' }: Error): string[] {
  return stack
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '));
}
