/** Helpers of tests that look at what a Core's handlers do. */
import { GrpcError } from '../../../parent/grpc/status.ts';
import type { TestCore } from './test-core.ts';

/** The error that a call fails with. */
export const errorOf = (call: Promise<unknown>): Promise<GrpcError> =>
  call.then(
    () => {
      throw new Error('the call should fail');
    },
    (error: unknown) => {
      if (error instanceof GrpcError) return error;
      throw error;
    },
  );

/** Makes the engine answer a method only when the test says so. */
export function hold({ engine }: TestCore, method: number): { readonly answer: (bytes: Uint8Array) => void } {
  const gate = Promise.withResolvers<Uint8Array>();
  engine.answers.set(method, () => gate.promise);
  return { answer: gate.resolve };
}

/** Waits until a request has ended. */
export async function settled(
  { store }: TestCore,
  kind: 'preproc' | 'keygen' | 'public_decrypt',
  id: string,
): Promise<void> {
  const entry = store.find(kind, id);
  if (entry) await store.settled(entry);
}
