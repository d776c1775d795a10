/** A whole Core of a party: it lets clients in once all parties can serve, and shows the quorum to operators. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { createLogger } from '../../../common/log.ts';
import type { NodeConfig } from '../../../common/node-config.ts';
import { type RunningCore, runCore } from '../../../parent/core/core.ts';
import { openKmsClient } from '../../../parent/grpc/client.ts';
import { PeerTableSchema } from '../../../proto/gen/engine_pb.js';
import { HealthCheckResponse_ServingStatus as Serving } from '../../../proto/gen/health_pb.js';
import { NodeType } from '../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../wire/frames.ts';
import { DEFAULT_CONTEXT_ID, DEFAULT_EPOCH_ID } from '../../../wire/ids.ts';
import { freePorts } from '../../helpers/free-port.ts';
import { plainMesh } from '../../helpers/plain-link.ts';
import { type Script, type ScriptedEngine, scriptedEngine } from '../../helpers/scripted-engine.ts';
import { tempDir } from '../../helpers/temp-dir.ts';
import { testConfig } from '../../helpers/test-core.ts';

const QUORUM: NonNullable<Script['quorum']> = {
  pending: 2n,
  framesSent: 40n,
  bytesSent: 5000n,
  publicDecryptions: 7n,
  userDecryptions: 3n,
  masks: [{ contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID, blocks: 112n }],
  failedChecks: [{ keyId: 'aa', epochId: DEFAULT_EPOCH_ID }],
};
const PEERS = toBinary(
  PeerTableSchema,
  create(PeerTableSchema, {
    peers: [
      { role: 'core', party: 2, attested: true },
      { role: 'engine', party: 1, attested: true, endpoint: '127.0.0.1:50001' },
      { role: 'engine', party: 3, attested: false, faults: [{ kind: 'wrong share', count: 4n }] },
    ],
  }),
);

const script = (settled: boolean): Script => ({
  info: {
    threshold: {
      party: 2,
      settled,
      contexts: [{ contextId: DEFAULT_CONTEXT_ID, threshold: 1, party: 2, nodes: [] }],
      epochs: settled ? [{ contextId: DEFAULT_CONTEXT_ID, epochId: DEFAULT_EPOCH_ID }] : [],
    },
  },
  quorum: QUORUM,
  onCall: (call) => {
    if (call.method === ENGINE_METHOD.peers) call.result(PEERS);
    if (call.method === ENGINE_METHOD.reach) call.result();
  },
});

interface Running {
  readonly core: RunningCore;
  readonly engine: ScriptedEngine;
  readonly port: number;
  readonly adminSocketPath: string;
  readonly config: NodeConfig;
}

async function start(t: Test, first: Script, hold?: (port: number) => Promise<void>): Promise<Running> {
  const engine = await scriptedEngine(t, first);
  const dir = tempDir(t);
  const [port = 0] = await freePorts(1);
  await hold?.(port);
  const adminSocketPath = join(dir, 'run', 'admin.sock');
  const plain = testConfig(dir, engine.socketPath);
  const config: NodeConfig = {
    ...plain,
    service: { ...plain.service, listen_port: port, admin_socket_path: adminSocketPath },
    threshold: { listen_address: '127.0.0.1', listen_port: 50_101, round_timeout_secs: 60, developer_lie: false },
  };
  const log = createLogger({ name: 'core', level: 'silent' });
  const mesh = { ...plainMesh(engine.socketPath), party: 2 };
  const core = await runCore({ config, developerMode: true, log, mesh });
  core.ready.catch(() => undefined); // closed before it was ready: the test's choice
  t.teardown(() => core.close(0));
  return { core, engine, port, adminSocketPath, config };
}

/** Whether somebody listens there. */
const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

t.test('no client port is open before all parties have the first epoch; operators are answered', async (t) => {
  const { core, engine, port, adminSocketPath } = await start(t, script(false));
  const admin = openKmsClient(`unix:${adminSocketPath}`);
  t.teardown(() => admin.close());
  const waits = 'the parties have not all made the first epoch yet';
  while (!(await (await fetch(`${core.opsUrl}/ready`)).text()).includes(waits)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.notOk(await listens(port));
  t.equal(await admin.health(), Serving.NOT_SERVING);
  t.equal((await admin.call('GetHealthStatus', {})).nodeType, NodeType.THRESHOLD);
  t.match((await admin.admin('GetQuorum', {})).threshold, { party: 2, settled: false, epochs: [] });
  t.match(await (await fetch(`${core.opsUrl}/metrics`)).text(), /^kms_quorum_settled 0$/m);

  engine.script = script(true);
  await core.ready;
  t.ok(await listens(port));
  t.equal(core.clientUrl, `http://127.0.0.1:${port}`);
  t.strictSame(core.reasons(), []);
  const client = openKmsClient(core.clientUrl);
  t.teardown(() => client.close());
  t.equal(await client.health(), Serving.SERVING);
  t.match(await admin.admin('GetQuorum', {}), {
    threshold: { settled: true, epochs: [{ epochId: DEFAULT_EPOCH_ID }] },
    status: { pending: 2n, publicDecryptions: 7n },
  });
});

t.test('a client port that is taken by then stops the node, by the name of its setting', async (t) => {
  const other = createServer();
  t.teardown(() => void other.close());
  const { core } = await start(t, script(true), async (port) => {
    other.listen(port, '127.0.0.1');
    await once(other, 'listening');
  });
  await t.rejects(core.ready, { code: 'CONFIG_INVALID', message: /service\.listen_port/ });
});

t.test('a node that is stopped before its quorum is there opens nothing any more', async (t) => {
  const { core, engine, port } = await start(t, script(false));
  const closed = core.close(0);
  engine.script = script(true);
  await closed;
  await t.rejects(core.ready, { code: 'CANCELLED' });
  t.notOk(await listens(port));
});

t.test('an engine with whole keys under a party of a quorum is named as the reason', async (t) => {
  const { core, port } = await start(t, {});
  while (!core.reasons().some((reason) => /holds whole keys/.test(reason))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.notOk(await listens(port));
});

t.test('the metrics show the quorum, its parties and their faults', async (t) => {
  const { core, engine } = await start(t, script(true));
  await core.ready;
  const scrape = async (): Promise<string[]> => (await (await fetch(`${core.opsUrl}/metrics`)).text()).split('\n');
  const lines = await scrape();
  for (const line of [
    'kms_quorum_settled 1',
    'kms_quorum_contexts 1',
    'kms_quorum_epochs 1',
    'kms_quorum_failed_checks 1',
    'kms_quorum_pending_requests 2',
    'kms_quorum_decryptions_total{kind="public"} 7',
    'kms_quorum_decryptions_total{kind="user"} 3',
    'kms_quorum_frames_sent_total 40',
    'kms_quorum_sent_bytes_total 5000',
    `kms_quorum_masked_blocks_total{epoch_id="${DEFAULT_EPOCH_ID}"} 112`,
    'kms_quorum_peer_attested{party="1"} 1',
    'kms_quorum_peer_attested{party="3"} 0',
    'kms_quorum_faults_total{party="3",kind="wrong share"} 4',
  ]) {
    t.ok(lines.includes(line), line);
  }
  t.notOk(
    lines.some((line) => /^kms_quorum_peer_attested\{party="2"\}/.test(line)),
    'its own core is no party',
  );
  await engine.kill();
  while (core.reasons().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  // One look serves for half a second.
  const gone = (all: string[]): boolean => !all.some((line) => /^kms_quorum_(?!line_)[a-z_]+(?:\{.*\})? \d/.test(line));
  let after = await scrape();
  while (!gone(after)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    after = await scrape();
  }
  t.ok(gone(after), 'no numbers rather than old ones');
});

t.test('operations are counted under the number of the party', async (t) => {
  const { core } = await start(t, script(true));
  await core.ready;
  const client = openKmsClient(core.clientUrl);
  t.teardown(() => client.close());
  await client.call('GetEpochResult', { requestId: DEFAULT_EPOCH_ID });
  const text = await (await fetch(`${core.opsUrl}/metrics`)).text();
  t.match(text, /kms_operation_duration_ms_count\{operation_type="get_mpc_epoch_result",party_id="2"\} 1/);
  t.equal(
    await (await fetch(`${core.opsUrl}/version`)).text().then((version) => version.split('\n')[1]),
    'threshold, party 2',
  );
  t.match(await (await fetch(`${core.opsUrl}/config`)).json(), {
    node: { type: 'threshold', party: 2, processor: String, arch: process.arch },
  });
});
