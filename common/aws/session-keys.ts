/** Keys of AWS that end: what both of their sources give. SECRET but for the id. */
import { KmsError } from '../errors.ts';

/** See the file comment. */
export interface SessionKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiration: Date;
}

/**
 * Checks what a service gave.
 *
 * @param service - For the message; nothing of the answer goes into it.
 * @throws {@link KmsError} `UNAVAILABLE` if a part is missing or no time.
 */
export function sessionKeys(
  { id, secret, token, end }: Readonly<Record<'id' | 'secret' | 'token' | 'end', unknown>>,
  service: string,
): SessionKeys {
  const expiration = new Date(typeof end === 'string' ? end : Number.NaN);
  const isWhole = isText(id) && isText(secret) && isText(token) && !Number.isNaN(expiration.getTime());
  if (isWhole) return { accessKeyId: id, secretAccessKey: secret, sessionToken: token, expiration };
  throw new KmsError('UNAVAILABLE', `${service} gave an answer without keys`, { service });
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.length > 0;
