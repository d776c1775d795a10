/** The operator's window shows how the node is and nothing that is secret. */
import t, { type Test } from 'tap';
import { createRegistry } from '../../../common/metrics.ts';
import { joinHealth } from '../../../parent/core/health.ts';
import { serveOps } from '../../../parent/core/http/ops.ts';
import { openCoreMetrics } from '../../../parent/core/metrics/open-core-metrics.ts';

async function start(test: Test, notes?: () => Promise<readonly string[]>) {
  const registry = createRegistry();
  openCoreMetrics(registry).operation('boot');
  const reasons = ['the engine is not connected'];
  const server = await serveOps(
    { host: '127.0.0.1', port: 0, setting: 'telemetry.metrics_bind_address' },
    {
      registry,
      health: joinHealth(() => reasons),
      version: '9.9.9',
      notes,
      config: { service: { listen_port: 1 }, tls: { key: '[redacted]' } },
    },
  );
  test.teardown(() => server.close(0));
  const get = async (path: string) => {
    const response = await fetch(server.url + path);
    return { status: response.status, text: await response.text() };
  };
  return { get, reasons, server };
}

t.test('health and readiness name what is wrong until nothing is', async (t) => {
  const { get, reasons } = await start(t);
  for (const path of ['/health', '/ready']) {
    t.strictSame(await get(path), { status: 503, text: 'the engine is not connected\n' }, path);
  }
  t.strictSame(await get('/live'), { status: 200, text: 'alive' }, 'alive all the same');
  reasons.length = 0;
  t.strictSame(await get('/health'), { status: 200, text: 'ok' });
  t.strictSame(await get('/ready'), { status: 200, text: 'ready' });
});

t.test('readiness tells what keeps nobody from being served', async (t) => {
  const lines = ['backup: 2 objects behind, for 7 s'];
  const { get, reasons } = await start(t, async () => lines);
  t.strictSame(await get('/ready'), { status: 503, text: `the engine is not connected\n${lines[0]}\n` });
  reasons.length = 0;
  t.strictSame(await get('/ready'), { status: 200, text: `ready\n${lines[0]}\n` });
  t.strictSame(await get('/health'), { status: 200, text: 'ok' });
  lines.length = 0;
  t.strictSame(await get('/ready'), { status: 200, text: 'ready' });
});

t.test('shows metrics, version and config', async (t) => {
  const { get } = await start(t);
  t.match((await get('/metrics')).text, 'kms_operations_total{operation="boot"} 1');
  t.strictSame(await get('/version'), { status: 200, text: '9.9.9' });
  const { text } = await get('/config');
  t.strictSame(JSON.parse(text), { service: { listen_port: 1 }, tls: { key: '[redacted]' } });
});

t.test('knows no other page, not even those that every object has', async (t) => {
  const { get } = await start(t);
  for (const path of ['/', '/constructor', '/__proto__', '/toString', '/metrics/', '/config/x']) {
    t.equal((await get(path)).status, 404, path);
  }
});

t.test('refuses to be written to', async (t) => {
  const { server } = await start(t);
  t.equal((await fetch(`${server.url}/config`, { method: 'POST', body: '{}' })).status, 405);
});
