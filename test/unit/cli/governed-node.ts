/** For tests of the governance commands: key files, and a node whose engine is a governance book. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Test } from 'tap';
import type { GovernanceBook } from '../../../attestation/governance/index.ts';
import { encodeCharter } from '../../../attestation/governance/index.ts';
import { toHex } from '../../../common/bytes.ts';
import { governancePut, governanceState } from '../../../enclave/governance/governance-calls.ts';
import type { GovernanceMemory } from '../../../enclave/governance/governance-memory.ts';
import { statusOf } from '../../../parent/core/rpc/failures.ts';
import { type GrpcMethod, openGrpcServer } from '../../../parent/grpc/server.ts';
import { AdminService } from '../../../proto/gen/arca-admin_pb.js';
import { PeerTableSchema } from '../../../proto/gen/engine_pb.js';
import { type CommandResult, runArca } from '../../helpers/cli-script.ts';
import { present } from '../../helpers/present.ts';
import { CHARTER, digestOf, GOVERNANCE, RELEASE } from '../attestation/governance/fixtures.ts';

/** A folder with `g1.pem` … `g4.pem`, `r1.pem` … `r4.pem` (0600), their public halves, a charter and PCR files. */
export function governanceFolder(t: Test): string {
  const dir = t.testdir({});
  mkdirSync(dir, { recursive: true });
  for (const [prefix, keys] of [
    ['g', GOVERNANCE],
    ['r', RELEASE],
  ] as const) {
    keys.forEach((key, at) => {
      writeFileSync(join(dir, `${prefix}${at + 1}.pem`), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    });
  }
  writeFileSync(join(dir, 'charter'), encodeCharter(CHARTER));
  for (const name of ['A', 'B']) {
    const pcrs = [0, 1, 2, 4, 7, 11, 12].map((index) => [`PCR${index}`, toHex(digestOf(`${name} ${index}`))]);
    writeFileSync(
      join(dir, `${name}.json`),
      JSON.stringify({ Measurements: { HashAlgorithm: 'Sha384', ...Object.fromEntries(pcrs) } }),
    );
  }
  return dir;
}

/** Runs a command with `DIR/` in front of each argument that is given as `@name`. */
export async function arca(dir: string, ...args: readonly string[]): Promise<CommandResult> {
  return await runArca(args.map((arg) => (arg.startsWith('@') ? join(dir, arg.slice(1)) : arg)));
}

/** The JSON object that a command printed. */
export function jsonOf({ stdout }: CommandResult): Record<string, unknown> {
  const value: unknown = JSON.parse(stdout);
  if (typeof value === 'object' && value !== null) return { ...value };
  return present<Record<string, unknown>>(undefined, 'JSON object');
}

/** Whom that node lists: an engine of release A. */
const PEERS = create(PeerTableSchema, { peers: [{ role: 'engine', party: 1, attested: true, release: 'A' }] });

/** Serves the operator's service over a book. @returns Its URL. */
export async function serveBook(t: Test, book: GovernanceBook, nowMs: () => number): Promise<string> {
  const governance: GovernanceMemory = {
    book,
    offer: async (offer) => book.offer(offer, nowMs()),
    requireApproval: async (kind, digest) => book.requireApproval(kind, digest),
    mayWrite: async () => {},
    close: async () => {},
  };
  const deps = { governance, incarnation: 1 };
  const method = (handler: typeof governancePut): GrpcMethod => ({
    kind: 'unary',
    handle: async (body, { signal }) => {
      const none = () => Promise.reject(new Error('not used'));
      try {
        return await handler(deps)({
          body,
          evidence: new Uint8Array(),
          signal,
          report: () => {},
          objects: { store: none },
        });
      } catch (error) {
        throw statusOf(error, undefined, 'PutGovernance');
      }
    },
  });
  const server = openGrpcServer({
    methods: new Map([
      [`/${AdminService.typeName}/GetGovernance`, method(governanceState)],
      [`/${AdminService.typeName}/PutGovernance`, method(governancePut)],
      [`/${AdminService.typeName}/ListPeers`, { kind: 'unary', handle: async () => toBinary(PeerTableSchema, PEERS) }],
    ]),
    onFault: (error) => t.fail(String(error)),
  });
  const { port } = await server.listen('127.0.0.1', 0);
  t.teardown(() => server.close(100));
  return `http://127.0.0.1:${port}`;
}
