/**
 * What a node says about itself on its operations port: `/version`, `/live`, `/ready`.
 */
import { z } from 'zod';
import { failure } from '../framework/failure.ts';

const Version = z.looseObject({
  version: z.string(),
  developer_mode: z.boolean(),
  authorization_policy: z.string(),
  address: z.string(),
});

/** What `/version` says. */
export type NodeVersion = z.infer<typeof Version>;

/** Returns what the node runs. @throws {@link KmsError} `UNAVAILABLE` if it does not answer. */
export async function fetchVersion(opsUrl: string): Promise<NodeVersion> {
  const { status, body } = await fetchOps(`${opsUrl}/version`);
  const parsed = Version.safeParse(parseJson(body));
  if (status === 200 && parsed.success) return parsed.data;
  throw failure('UNAVAILABLE', `${opsUrl}/version does not describe a node (HTTP ${status})`, "see 'arca doctor'");
}

/** Fetches a page of the operations port. @throws {@link KmsError} `UNAVAILABLE` if nothing answers. */
export async function fetchOps(url: string): Promise<{ readonly status: number; readonly body: string }> {
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(5000) });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    throw failure('UNAVAILABLE', `${url} does not answer`, "see whether the node runs: 'arca doctor'", {}, error);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
