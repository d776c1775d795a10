/** The operator's window shows how the node is and nothing that is secret. */
import fc from 'fast-check';
import t from 'tap';
import { createRegistry } from '../../../common/metrics.ts';
import { joinHealth } from '../../../parent/core/health.ts';
import { serveOps } from '../../../parent/core/http/ops.ts';
import { redact } from '../../../parent/core/http/redact.ts';
import { openCoreMetrics } from '../../../parent/core/metrics/open-core-metrics.ts';

async function start(test: typeof t) {
  const registry = createRegistry();
  openCoreMetrics(registry).operation('boot');
  const reasons = ['the engine is not connected'];
  const server = await serveOps(
    { host: '127.0.0.1', port: 0, setting: 'telemetry.metrics_bind_address' },
    {
      registry,
      health: joinHealth(() => reasons),
      version: '9.9.9',
      config: { service: { listen_port: 1 }, tls: { key: 'hunter2' } },
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

t.test('shows metrics, version and config without credentials', async (t) => {
  const { get } = await start(t);
  t.match((await get('/metrics')).text, 'kms_operations_total{operation="boot"} 1');
  t.strictSame(await get('/version'), { status: 200, text: '9.9.9' });
  const { text } = await get('/config');
  t.strictSame(JSON.parse(text), { service: { listen_port: 1 }, tls: { key: '[redacted]' } });
  t.notMatch(text, 'hunter2');
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

t.test('redaction blots out credentials by name and by shape, at any depth', async (t) => {
  const shown = redact({
    a: [{ role_token: 'T', nested: { private_key: 'K', list: ['-----BEGIN PRIVATE KEY-----\nK'] } }],
    url: 'https://user:pw@host/path',
    allow_token: true,
    api_key: ['K'],
    key: { path: '/k' },
  });
  t.strictSame(shown, {
    a: [{ role_token: '[redacted]', nested: { private_key: '[redacted]', list: ['[redacted]'] } }],
    url: 'https://[redacted]@host/path',
    allow_token: true,
    api_key: '[redacted]',
    key: { path: '/k' },
  });
});

t.test('redaction changes nothing else', async (t) => {
  const plain = fc.record({ listen_port: fc.nat(), level: fc.constantFrom('info', 'debug'), on: fc.boolean() });
  fc.assert(fc.property(plain, (value) => JSON.stringify(redact(value)) === JSON.stringify(value)));
  t.pass('1 property');
});
