/**
 * Where AWS KMS and STS are reached, and how. The envelope in which KMS answers is not authenticated, so the connection,
 * whose TLS ends here, is what proves that KMS made it.
 */
import type { ConnectingOptions } from '../connecting-agents.ts';
import { KmsError } from '../errors.ts';

/** How AWS is reached. */
export interface AwsConnection extends ConnectingOptions {
  /** Developer mode alone: an emulator's address. AWS's own is computed. */
  readonly developerEndpoint?: string | undefined;
  /** Uses the endpoint whose modules are validated by FIPS 140. */
  readonly fips?: boolean | undefined;
}

const REGION = /^(?:[a-z]{2}(?:-gov|-iso[a-z]?)?)-[a-z]+-\d{1,2}$/;

/**
 * Returns the address of a service in a region, for nothing else but this is ever called.
 *
 * @throws KmsError `CONFIG_INVALID` for what is no region.
 */
export function awsEndpoint(service: 'kms' | 'sts', region: string, fips = false): string {
  if (!REGION.test(region)) throw new KmsError('CONFIG_INVALID', 'needs an AWS region such as eu-central-1');
  const suffix = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  return `https://${service}${fips ? '-fips' : ''}.${region}.${suffix}`;
}
