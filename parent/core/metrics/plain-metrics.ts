/**
 * prom-client metrics whose state is plain numbers of ours: an observation is an addition, not a label hash.
 *
 * prom-client asks a metric for its values at scrape time only; these classes answer from what was added up.
 */
import { Counter, Histogram } from 'prom-client';
import type { MetricsRegistry } from '../../../common/metrics.ts';

type Labels = Readonly<Record<string, string>>;

/** One series of a {@link PlainHistogram}: counts per bucket, the last one for what exceeds all bounds. */
class HistogramCell {
  readonly labels: Labels;
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[], labels: Labels) {
    this.labels = labels;
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at += 1;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  /** The series in the form of prom-client: cumulative buckets, sum and count. */
  series(name: string): object[] {
    let total = 0;
    const line = (suffix: string, labels: object, value: number): object => ({
      labels: { ...labels, ...this.labels },
      sharedLabels: {},
      value,
      metricName: `${name}_${suffix}`,
    });
    const buckets = this.#bounds.map((bound, at) => {
      total += this.#counts[at] ?? 0;
      return line('bucket', { le: bound }, total);
    });
    total += this.#counts[this.#bounds.length] ?? 0;
    return [...buckets, line('bucket', { le: '+Inf' }, total), line('sum', {}, this.#sum), line('count', {}, total)];
  }
}

/** A histogram of plain numbers. Callers keep the cell of each series they observe. */
export class PlainHistogram extends Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #cells: HistogramCell[] = [];

  constructor(registry: MetricsRegistry, name: string, help: string, bounds: readonly number[]) {
    super({ name, help, buckets: [...bounds], registers: [registry] });
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
  }

  /** Adds a series. The caller makes each set of labels once. */
  cell(labels: Labels): HistogramCell {
    const cell = new HistogramCell(this.#bounds, labels);
    this.#cells.push(cell);
    return cell;
  }

  /** What prom-client calls for its text and JSON forms; its types leave this method out. */
  async getForPromString(): Promise<object> {
    const values = this.#cells.flatMap((cell) => cell.series(this.#name));
    return { name: this.#name, help: this.#help, type: 'histogram', aggregator: 'sum', values };
  }
}

/** Counts by one key of labels in a Map and hands the totals over at scrape time. */
export class PlainCounter {
  readonly #totals = new Map<string, { labels: Labels; count: number }>();

  constructor(registry: MetricsRegistry, name: string, help: string, labelNames: readonly string[]) {
    const totals = this.#totals;
    new Counter({
      name,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const { labels, count } of totals.values()) this.inc({ ...labels }, count);
      },
    });
  }

  /** Adds one under `key`, which stands for `labels()`; those are asked for once. */
  add(key: string, labels: () => Labels): void {
    const total = this.#totals.get(key);
    if (total) total.count += 1;
    else this.#totals.set(key, { labels: labels(), count: 1 });
  }
}
