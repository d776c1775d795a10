/** The Core listens on loopback unless its operator wrote down otherwise. */
import t from 'tap';
import { checkBindings, isLoopback } from '../../../parent/core/boot/binding.ts';

t.test('knows loopback addresses in every spelling', async (t) => {
  for (const address of ['127.0.0.1', '127.8.9.10', '::1', 'localhost', '0:0:0:0:0:0:0:1']) {
    t.equal(isLoopback(address), true, address);
  }
  for (const address of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'example.org', '', 'localhost.example.org']) {
    t.equal(isLoopback(address), false, address);
  }
});

t.test('refuses open bindings all at once, each by its setting', async (t) => {
  const bindings = [
    { address: '0.0.0.0', setting: 'service.listen_address' },
    { address: '127.0.0.1', setting: 'public_http.listen_address' },
    { address: '::', setting: 'telemetry.metrics_bind_address' },
  ];
  t.throws(() => checkBindings(bindings, false), {
    code: 'CONFIG_INVALID',
    message: /service\.listen_address = "0\.0\.0\.0", telemetry\.metrics_bind_address = "::".*allow_plaintext_clients/,
  });
});

t.test('lets them pass when asked for by name, and hands them back for the warning', async (t) => {
  const open = { address: '0.0.0.0', setting: 'service.listen_address' };
  t.strictSame(checkBindings([open, { address: '::1', setting: 'x' }], true), [open]);
  t.strictSame(checkBindings([{ address: '::1', setting: 'x' }], false), []);
});
