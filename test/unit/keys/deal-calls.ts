/** Calls that ask an engine for keys and reference strings of developer mode. */
import { create, toBinary } from '@bufbuild/protobuf';
import { CrsGenCallSchema, KeyGenCallSchema } from '../../../proto/gen/engine_pb.js';
import {
  CrsGenRequestSchema,
  FheParameter,
  KeyGenPreprocRequestSchema,
  KeyGenRequestSchema,
} from '../../../proto/gen/kms_pb.js';
import { D0, type Fields, idOf } from '../../helpers/requests.ts';

/** Encodes an insecure KEYGEN call with test parameters. */
export function dealCall(overrides: Fields<typeof KeyGenRequestSchema> = {}, insecure = true): Uint8Array {
  const preproc = create(KeyGenPreprocRequestSchema, {
    requestId: { requestId: idOf(900) },
    params: FheParameter.test,
    domain: D0,
  });
  const request = create(KeyGenRequestSchema, {
    requestId: { requestId: idOf(2) },
    preprocId: { requestId: idOf(900) },
    domain: D0,
    ...overrides,
  });
  const message = create(KeyGenCallSchema, {
    request: toBinary(KeyGenRequestSchema, request),
    preprocRequest: toBinary(KeyGenPreprocRequestSchema, preproc),
    insecure,
  });
  return toBinary(KeyGenCallSchema, message);
}

/** Encodes an insecure CRSGEN call with test parameters. */
export function dealCrsCall(overrides: Fields<typeof CrsGenRequestSchema> = {}, insecure = true): Uint8Array {
  const request = create(CrsGenRequestSchema, {
    requestId: { requestId: idOf(3) },
    params: FheParameter.test,
    maxNumBits: 64,
    domain: D0,
    ...overrides,
  });
  const message = create(CrsGenCallSchema, { request: toBinary(CrsGenRequestSchema, request), insecure });
  return toBinary(CrsGenCallSchema, message);
}
