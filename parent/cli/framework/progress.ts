/**
 * Progress of one step: a bar redrawn in place on a terminal, a line at the start and the end elsewhere.
 *
 * An estimate is labelled as one: some steps (key generation) give no real progress to show.
 */
import { systemClock } from '../../../common/clock.ts';

/** A stream that text goes to; `isTTY` decides on bars and colours. */
export interface TextSink {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** A step that is going on. */
export interface Progress {
  /** Shows a known fraction in [0, 1], or an estimated one. */
  update(fraction: number, detail?: string): void;
  /** Shows an estimate from the time passed, until the step ends: it nears 95 % and waits there. */
  estimate(expectedMs: number): void;
  /** Ends the step and returns how long it took. */
  done(detail?: string): number;
  /** Ends the step as failed and returns how long it took. */
  failed(detail?: string): number;
}

const BAR_WIDTH = 28;
const REDRAW_MS = 100;

/** Returns `1.24 s` or `87 ms`. */
export function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Starts a step on `sink`. */
export function createProgress(label: string, sink: TextSink): Progress {
  const startedAt = systemClock.monotonicMs();
  const elapsed = () => systemClock.monotonicMs() - startedAt;
  const live = sink.isTTY === true;
  let timer: NodeJS.Timeout | undefined;
  let ended = false;

  const draw = (fraction: number, detail: string) => {
    if (!live || ended) return;
    const filled = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
    const bar = `${'='.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}`;
    sink.write(`\r\u001b[2K  ${label} [${bar}] ${Math.floor(fraction * 100)} % ${detail}`);
  };
  const end = (mark: string, text: string) => {
    if (ended) return;
    ended = true;
    clearInterval(timer);
    sink.write(`${live ? '\r\u001b[2K' : ''}${mark} ${label}${text}\n`);
  };

  if (live) draw(0, '');
  return {
    update: (fraction, detail = '') => draw(fraction, detail),
    estimate: (expectedMs) => {
      if (!live) return;
      timer = setInterval(() => {
        draw(0.95 * (1 - Math.exp((-2 * elapsed()) / expectedMs)), `estimated, ${formatMs(elapsed())}`);
      }, REDRAW_MS);
      timer.unref();
    },
    done: (detail) => {
      const ms = elapsed();
      end('✓', `${detail === undefined ? '' : `: ${detail}`} (${formatMs(ms)})`);
      return ms;
    },
    failed: (detail) => {
      const ms = elapsed();
      end('✗', `${detail === undefined ? '' : `: ${detail}`} (after ${formatMs(ms)})`);
      return ms;
    },
  };
}
