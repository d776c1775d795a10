/** A server for `hostile-certificates.test.ts`: says its port, and who calls. Argument: a file with its certificates. */
import { readFileSync } from 'node:fs';
import { openGrpcServer } from '../../../parent/grpc/server.ts';

const material = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const server = openGrpcServer({
  methods: new Map([
    ['/test.Echo/Who', { kind: 'unary', handle: async (_body, { caller }) => Buffer.from(JSON.stringify(caller)) }],
  ]),
  onFault: () => process.exit(3),
});
const source = { current: () => material, onChange: () => () => undefined, close: () => undefined };
const { port } = await server.listen('127.0.0.1', 0, source);
process.stdout.write(`${port}\n`);
