/** Messages and services have the names, numbers and presence that published clients were compiled with. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { Health } from '../../../proto/gen/health_pb.js';
import { file_kms } from '../../../proto/gen/kms_pb.js';
import { CoreServiceEndpoint } from '../../../proto/gen/kms-service_pb.js';
import { file_metastore_status, MetaStoreStatusService } from '../../../proto/gen/metastore-status_pb.js';
import { file_rpc_status } from '../../../proto/gen/rpc-status_pb.js';

const published = JSON.parse(readFileSync(new URL('../../vectors/wire/messages.json', import.meta.url), 'utf8'));
const files = [file_kms, file_metastore_status];

t.test('every message and enum has the published numbers, no more and no less', async (t) => {
  const numbers: Record<string, Record<string, number>> = {};
  for (const file of files) {
    for (const { name, fields } of file.messages) {
      numbers[name] = Object.fromEntries(fields.map((field) => [field.name, field.number]));
    }
    for (const { name, values } of file.enums) {
      numbers[name] = Object.fromEntries(values.map((value) => [value.name, value.number]));
    }
  }
  t.strictSame(numbers, published.numbers);
});

t.test('exactly the published fields tell absence from zero', async (t) => {
  const optional: Record<string, string[]> = {};
  for (const { name, fields } of files.flatMap((file) => file.messages)) {
    const names = fields.filter((field) => field.proto.proto3Optional).map((field) => field.name);
    if (names.length > 0) optional[name] = names;
  }
  t.strictSame(optional, published.optional);
});

t.test('the client service has the 35 published calls', async (t) => {
  const calls = CoreServiceEndpoint.methods.map(({ name, input, output }) => [name, [input.name, output.name]]);
  t.strictSame(Object.fromEntries(calls), published.rpcs);
  t.equal(CoreServiceEndpoint.typeName, 'kms_service.v1.CoreServiceEndpoint');
  t.ok(CoreServiceEndpoint.methods.every(({ methodKind }) => methodKind === 'unary'));
});

t.test('the other services and the error details bear their published names', async (t) => {
  t.equal(MetaStoreStatusService.typeName, 'metastore_status.v1.MetaStoreStatusService');
  t.same(
    MetaStoreStatusService.methods.map(({ name, input }) => [name, input.typeName]),
    [
      ['GetRequestStatuses', 'metastore_status.v1.GetRequestStatusesRequest'],
      ['ListRequests', 'metastore_status.v1.ListRequestsRequest'],
      ['GetMetaStoreInfo', 'kms.v1.Empty'],
    ],
  );
  t.equal(Health.typeName, 'grpc.health.v1.Health');
  t.same(
    file_rpc_status.messages.map(({ typeName }) => typeName),
    ['google.rpc.Status', 'google.rpc.ErrorInfo', 'google.rpc.RetryInfo', 'google.rpc.BadRequest'],
  );
});
