/**
 * The one metrics registry of a process, in Prometheus text form.
 *
 * Names are `kms_<area>_<thing>_<unit>`; label values are few and fixed, never taken from a request.
 */
import { Registry } from 'prom-client';
import { KmsError } from './errors.ts';

/** A registry of prom-client; each area registers its own metrics on it. */
export type MetricsRegistry = Registry;

/** Names that begin with two underscores are Prometheus's own. */
const LABEL_NAME = /^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * Makes an empty registry whose metrics all carry the given labels.
 *
 * @param labels - Constant labels, as read by {@link parseMetricsLabels} from `KMS_METRICS_LABELS`.
 */
export function createRegistry(labels: Readonly<Record<string, string>> = {}): MetricsRegistry {
  const registry = new Registry();
  registry.setDefaultLabels({ ...labels });
  return registry;
}

/**
 * Reads the value of `KMS_METRICS_LABELS`: `name=value` pairs divided by commas.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` naming every pair that is not one.
 * @example
 * parseMetricsLabels('party=3,zone=eu'); // { party: '3', zone: 'eu' }
 */
export function parseMetricsLabels(text: string | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  const faults: string[] = [];
  for (const pair of (text ?? '').split(',').map((part) => part.trim())) {
    if (pair === '') continue;
    const cut = pair.indexOf('=');
    const name = pair.slice(0, cut).trim();
    if (cut < 1 || !LABEL_NAME.test(name)) faults.push(pair);
    else if (Object.hasOwn(labels, name)) faults.push(`${pair} (repeated)`);
    else labels[name] = pair.slice(cut + 1).trim();
  }
  if (faults.length > 0) {
    throw new KmsError('CONFIG_INVALID', `KMS_METRICS_LABELS needs name=value pairs, not: ${faults.join(', ')}`);
  }
  return labels;
}
