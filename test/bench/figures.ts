/**
 * What a benchmark found: figures under stable dotted names, and their three forms: table, JSON, Markdown.
 */

/** One number. Names are API: scripts compare them between runs and machines. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'per second' | 'ms' | 'µs' | 'MB' | 'bytes' | '%';
  /** What it should be, where there is a goal; `at least` for rates, `at most` for the rest. */
  readonly goal?: number;
  readonly note?: string;
}

/** Collects figures in the order they are found. */
export class Figures {
  readonly #all = new Map<string, Figure>();

  add(figure: Figure): void {
    this.#all.set(figure.name, figure);
  }

  all(): readonly Figure[] {
    return [...this.#all.values()];
  }

  /** All figures as one flat object. */
  toRecord(): Record<string, number> {
    return Object.fromEntries(this.all().map(({ name, value }) => [name, round(value)]));
  }
}

/** Keeps three significant digits, and all digits before the point. */
export function round(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

/** Whether a figure reaches its goal; undefined without one. */
export function reaches({ value, unit, goal }: Figure): boolean | undefined {
  if (goal === undefined) return undefined;
  return unit === 'per second' ? value >= goal : value <= goal;
}

/** Rows of a table: name, value with unit, goal, note. */
function rows(figures: readonly Figure[]): [string, string, string, string][] {
  return figures.map((figure) => {
    const { name, value, unit, goal, note = '' } = figure;
    const wanted =
      goal === undefined ? '' : `${unit === 'per second' ? '≥' : '≤'} ${goal}${reaches(figure) ? '' : ' !'}`;
    return [name, `${round(value)} ${unit}`, wanted, note];
  });
}

const HEAD: [string, string, string, string] = ['figure', 'measured', 'goal', 'note'];

/** A table for a terminal. Goals that are missed bear a `!`. */
export function textTable(figures: readonly Figure[]): string {
  const all = [HEAD, ...rows(figures)];
  const widths = HEAD.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ');
  return all.map((row) => line(row).trimEnd()).join('\n');
}

/** A table for a page. */
export function markdownTable(figures: readonly Figure[]): string {
  const line = (row: readonly string[]) => `| ${row.join(' | ')} |`;
  return [line(HEAD), line(HEAD.map(() => '---')), ...rows(figures).map(line)].join('\n');
}
