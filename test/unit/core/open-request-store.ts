/** Request stores and requests for their tests. */
import type { Test } from 'tap';
import { type NewRequest, RequestStore, type RequestStoreOptions } from '../../../parent/core/store/request-store.ts';
import { idOf } from './requests.ts';

/** A decryption that is new, or changed as the test says. */
export function request(name: string, change: Partial<NewRequest> = {}): NewRequest {
  return {
    kind: 'public_decrypt',
    id: idOf(name),
    digest: idOf(`${name} body`),
    contextId: 'c',
    epochId: 'e',
    ...change,
  };
}

/** Opens a store, which is closed with the test. */
export function open(t: Test, file: string, options: Partial<RequestStoreOptions> = {}): RequestStore {
  const store = new RequestStore({ file, decCapacity: 10, minDecCache: 5, ...options });
  t.teardown(() => {
    try {
      store.close();
    } catch {
      // The test closed it.
    }
  });
  return store;
}
