/**
 * Pages of a node's operations port, as text.
 */
import { failure } from '../framework/failure.ts';

/** Fetches a page of the operations port. @throws {@link KmsError} `UNAVAILABLE` if nothing answers. */
export async function fetchOps(url: string): Promise<{ readonly status: number; readonly body: string }> {
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(5000) });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    throw failure('UNAVAILABLE', `${url} does not answer`, "see whether the node runs: 'arca doctor'", {}, error);
  }
}
