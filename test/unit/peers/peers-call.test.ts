/** The rows of `arca peers`: endpoints, and what engines have done wrong. */
import { fromBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { PeerTable } from '../../../attestation/mesh/peer-table.ts';
import { systemClock } from '../../../common/clock.ts';
import type { CallHandler } from '../../../enclave/call.ts';
import { peers } from '../../../enclave/mesh/peers-call.ts';
import { FaultLedger } from '../../../enclave/threshold/fault-ledger.ts';
import { PeerTableSchema } from '../../../proto/gen/engine_pb.js';

async function rows(handler: CallHandler) {
  const answer = await handler({} as Parameters<CallHandler>[0]);
  return fromBinary(PeerTableSchema, answer).peers;
}

t.test('faults stand at the engine that made them, each kind with its count', async (t) => {
  const table = new PeerTable(systemClock);
  table.expect({ role: 'core', party: 2 });
  table.expect({ role: 'engine', party: 2 }, 'two.example:50101');
  table.expect({ role: 'engine', party: 3 });
  const ledger = new FaultLedger(() => 0);
  ledger.note({ party: 2, kind: 'wrong share' });
  ledger.note({ party: 2, kind: 'wrong share' });
  ledger.note({ party: 2, kind: 'flood' });
  t.match(await rows(peers(table, ledger)), [
    { role: 'core', party: 2, endpoint: '', faults: [] },
    {
      role: 'engine',
      party: 2,
      endpoint: 'two.example:50101',
      faults: [
        { kind: 'wrong share', count: 2n },
        { kind: 'flood', count: 1n },
      ],
    },
    { role: 'engine', party: 3, endpoint: '', faults: [], reason: 'not seen yet' },
  ]);
  t.match(await rows(peers(table)), [{ faults: [] }, { faults: [] }, { faults: [] }], 'a centralized engine has none');
});
