/** Supervises two fake children until it is killed; prints one line of JSON with their process ids when both are ready. */
import { fileURLToPath } from 'node:url';
import { supervise } from '../../parent/cli/supervise/supervisor.ts';

const file = fileURLToPath(new URL('./fake-child.ts', import.meta.url));
const ports = process.argv.slice(2);
const supervisor = supervise(
  ports.map((port, index) => ({
    name: `child-${index}`,
    file,
    args: ['serve', port],
    readyEvent: 'fake.ready',
  })),
);
await supervisor.ready;
process.stdout.write(`${JSON.stringify(supervisor.pids())}\n`);
