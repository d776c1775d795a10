/** Situations of a threshold node of four parties, for its rows of the status matrix. */
import { create, toBinary } from '@bufbuild/protobuf';
import { KmsError } from '../../../../common/errors.ts';
import { DestroyMpcContextRequestSchema, DestroyMpcEpochRequestSchema } from '../../../../proto/gen/kms_pb.js';
import { ENGINE_METHOD } from '../../../../wire/frames.ts';
import { QuorumEngine } from '../quorum-engine.ts';
import { newEpoch, preprocessing } from '../requests.ts';
import type { TestCore } from '../test-core.ts';
import { A, all, never, ok, type Row, row, say } from './situations.ts';

/** A row on a threshold node of four parties. */
export function on(
  rpc: string,
  when: string,
  status: string,
  body: Uint8Array,
  situation: Pick<Row, 'options' | 'before'> = {},
) {
  const options = { ...situation.options, threshold: true, engine: new QuorumEngine() };
  return row(rpc, when, status, body, { ...situation, options });
}

/** Bytes of a `DestroyMpcContext`. */
export const destroyContext = (id: string): Uint8Array =>
  toBinary(DestroyMpcContextRequestSchema, create(DestroyMpcContextRequestSchema, { contextId: { requestId: id } }));
/** Bytes of a `DestroyMpcEpoch`. */
export const destroyEpoch = (id: string): Uint8Array =>
  toBinary(DestroyMpcEpochRequestSchema, create(DestroyMpcEpochRequestSchema, { epochId: { requestId: id } }));
/** Fields of a request that names its context. */
export const inContext = (contextId: string) => ({ contextId: { requestId: contextId } });
/** Fields of a request that names its epoch. */
export const inEpoch = (epochId: string) => ({ epochId: { requestId: epochId } });
/** Fields of a `NewMpcEpoch` that reshares. */
export const previous = {
  previousEpoch: { keysInfo: [], crsInfo: [] },
  domain: { verifyingContract: `0x${'0'.repeat(40)}` },
};

/** The epoch is being made for ever. */
export const making = (id: string) =>
  all(({ engine }) => void engine.answers.set(ENGINE_METHOD.newEpoch, never), ok('NewMpcEpoch', newEpoch(id)));
/** Waits until an epoch has its outcome. */
export const ended =
  (id: string) =>
  async ({ store }: TestCore): Promise<void> => {
    const entry = store.find('epoch', id);
    if (entry) await store.settled(entry);
  };
/** The epoch has been made. */
export const made = (id: string) => all(ok('NewMpcEpoch', newEpoch(id)), ended(id));
/** The epoch could not be made. */
export const failed = (id: string) =>
  all(
    say(ENGINE_METHOD.newEpoch, new KmsError('UNAVAILABLE', 'party 3 did not come')),
    ok('NewMpcEpoch', newEpoch(id)),
    ended(id),
  );
/** The parties have not made their first epoch yet. */
export const unsettled = ({ engine }: TestCore): void => {
  if (!(engine instanceof QuorumEngine)) return;
  engine.settled = false;
  engine.epochs.clear();
  engine.describeAgain();
};
/** Insecure preprocessing A is done. */
export const insecurelyPreprocessed = all(
  ok('InsecureKeyGenPreproc', preprocessing(A)),
  async ({ store }: TestCore) => {
    const entry = store.find('preproc', A);
    if (entry) await store.settled(entry);
  },
);
