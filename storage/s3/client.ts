/**
 * The AWS client as this code wants it: nothing out of the environment or of files in a home folder, no hidden
 * retries, no redirects to other hosts, every connection through our pools.
 */
import { S3Client } from '@aws-sdk/client-s3';
import { connectingAgents } from '../../common/connecting-agents.ts';
import { checkOptions, pathStyle, type S3StorageOptions } from './options.ts';

/**
 * Makes a client. Call `destroy` when done.
 *
 * @throws KmsError `CONFIG_INVALID`.
 */
export function makeClient(options: S3StorageOptions): S3Client {
  const endpoint = checkOptions(options);
  const { region, credentials } = options;
  const { httpAgent, httpsAgent } = connectingAgents(options);
  return new S3Client({
    region,
    endpoint: endpoint.origin,
    forcePathStyle: pathStyle(options),
    credentials: credentials === 'anonymous' ? NOBODY : credentials,
    ...(credentials === 'anonymous' && { signer: { sign: async (request) => request } }),
    // One attempt: who tries again must know that an earlier attempt may have been carried out.
    maxAttempts: 1,
    retryMode: 'standard',
    // Time limits are those of the caller. Plain agents would be left for new ones on `Expect: 100-continue`.
    requestHandler: { httpAgent, httpsAgent, connectionTimeout: 0, requestTimeout: 0, socketTimeout: 0 },
    expectContinueHeader: false,
    // Checksums are computed here, over whole objects.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    followRegionRedirects: false,
    disableMultiregionAccessPoints: true,
    disableS3ExpressSessionAuth: true,
    useAccelerateEndpoint: false,
    useArnRegion: false,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    defaultsMode: 'standard',
    userAgentAppId: 'arca',
    authSchemePreference: ['aws.auth#sigv4'],
    sigv4aSigningRegionSet: [region],
  });
}

/** The client wants keys even where it signs nothing. */
const NOBODY = { accessKeyId: 'anonymous', secretAccessKey: 'anonymous' };
