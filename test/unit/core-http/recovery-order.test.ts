/** Taking up the last run leaves alone what this one has begun. */
import { create, toBinary } from '@bufbuild/protobuf';
import t from 'tap';
import { CrsGenRequestSchema, RequestIdSchema } from '../../../proto/gen/kms_pb.js';
import { freshId } from '../../helpers/party-requests.ts';
import { D0 } from '../../helpers/requests.ts';
import { startTestCore } from '../core/test-core.ts';

t.test('a generation that starts before the last run is taken up is not taken for an interrupted one', async (t) => {
  const { core, generations, raw, status } = await startTestCore(t, { recover: false });
  const finish = Promise.withResolvers<Uint8Array>();
  generations.onRun = () => finish.promise;
  const settled: string[] = [];
  generations.onSettle = async (_kind, id) => {
    settled.push(id);
    return { state: 'failed', reason: 'engine stopped' };
  };
  const id = { requestId: freshId() };
  await raw('CrsGen', toBinary(CrsGenRequestSchema, create(CrsGenRequestSchema, { requestId: id, domain: D0 })));
  await core.recover();
  t.strictSame(settled, [], 'nobody asked what became of it');
  const ask = () => status('GetCrsGenResult', toBinary(RequestIdSchema, create(RequestIdSchema, id)));
  t.equal(await ask(), 'UNAVAILABLE', 'still under way');
  finish.resolve(new Uint8Array());
  while ((await ask()) === 'UNAVAILABLE') await new Promise(setImmediate);
  t.equal(await ask(), 'OK');
});
