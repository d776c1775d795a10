/** The developer Core with a bare Unix socket to the engine: see plain-engine.ts. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { runServiceProcess } from '../../common/service-process.ts';
import { runCore } from '../../parent/core/core.ts';

await runServiceProcess('core', true, async (config, log) => {
  const core = await runCore({
    config,
    developerMode: true,
    log,
    mesh: {
      dial: async () => {
        const stream = connect(config.engine.socket_path);
        await once(stream, 'connect');
        return { stream };
      },
      follow: () => () => {},
      takeGovernance: () => {},
      serveConnectors: async () => {},
      registerMetrics: () => {},
      peers: () => [],
      reasons: () => [],
      close: async () => {},
    },
  });
  return {
    ready: async () => {
      await core.ready;
      return {};
    },
    close: (graceMs) => core.close(graceMs),
  };
});
