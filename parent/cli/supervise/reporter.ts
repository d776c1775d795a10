/**
 * What the person at the terminal is told of a node that runs: ends, new starts, and what its processes complain of.
 */
import type { Output } from '../framework/output.ts';
import { formatMs } from '../framework/progress.ts';
import { parseLogLine } from './child.ts';
import type { DeviceEvent } from './developer-devices.ts';
import { describeExit, describeLogLine, type SupervisorEvent } from './supervisor.ts';

/** Returns an event of a module as a line for people. */
export function describeDeviceEvent(event: DeviceEvent): string {
  if (event.event === 'attestation.device-failed') return `the attester of the ${event.name} failed: ${event.why}`;
  const files = event.files.slice(0, 5).join(', ') + (event.files.length > 5 ? ', …' : '');
  return `changed since the ${event.name} was measured: ${files}; its peers will refuse it, restart the node`;
}

/** Returns what tells a person of events; what a child says twice in a row is told once. */
export function reporter(output: Output): (event: SupervisorEvent) => void {
  const last = new Map<string, string>();
  return (event) => {
    switch (event.kind) {
      case 'crashed': {
        const why = event.why ?? describeExit(event.exit);
        output.warn(`the ${event.name} ended (${why}); started again in ${formatMs(event.retryInMs)}`);
        return;
      }
      case 'ready':
        output.note(`the ${event.name} is ready again after ${formatMs(event.ms)}`);
        return;
      case 'line': {
        const facts = parseLogLine(event.line);
        const level = facts?.level;
        if (facts !== undefined && level !== 'warn' && level !== 'error' && level !== 'fatal') return;
        const text = describeLogLine(event.line);
        if (last.get(event.name) !== text) output.warn(`${event.name}: ${text}`);
        last.set(event.name, text);
      }
    }
  };
}
