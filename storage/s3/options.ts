/**
 * What a vault in S3 is given, and what of it can be wrong. Production gives a region and lets the address be
 * computed; an address of one's own, and a store without conditional writes, are for developer mode alone.
 */
import type { Connect } from '../../common/connecting-agents.ts';
import { KmsError } from '../../common/errors.ts';
import { checkPath } from '../storage.ts';

/** Keys of AWS. Secret but for the id. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** When the session ends; undefined: never. New ones are asked for some minutes earlier. */
  readonly expiration?: Date;
}

/** Settings of a vault in S3. */
export interface S3StorageOptions {
  readonly bucket: string;
  readonly region: string;
  /** Folder of the vault: `PUB`, `PRIV-p1`. */
  readonly prefix: string;
  /** Where keys come from; `anonymous` reads public vaults of others and writes nothing. */
  readonly credentials: 'anonymous' | (() => Promise<S3Credentials>);
  /** Nothing is written, not even the object that shows whether the server keeps to conditions. Default: as credentials are. */
  readonly readOnly?: boolean;
  /** Present in developer mode only. */
  readonly developer?: {
    /** Address of another S3 server, `http` or `https`. Default: that of AWS in the region. */
    readonly endpoint?: string;
    /** The bucket stands in the path, not in the host name. Default: true with an endpoint. */
    readonly pathStyle?: boolean;
    /** Take a store that ignores conditional writes, for a single writer. */
    readonly allowUnfenced?: boolean;
  };
  /** Opens a byte stream to a host, so that a relay can carry it. TLS runs inside of it. Default: TCP. */
  readonly connect?: Connect;
  /** PEM certificates that alone are trusted for TLS. Default: those that Node ships. */
  readonly ca?: readonly string[];
  /** Size of the parts of large objects; three are in memory at a time. Default 8 MiB. */
  readonly partBytes?: number;
  /** How often a request is tried in all. Default 5. */
  readonly attempts?: number;
  /** Longest wait for an answer to a small request. Default 30 s. */
  readonly timeoutMs?: number;
  /** Longest silence within an answer's body, and the time that one part may take to go up. Default 60 s. */
  readonly bodyTimeoutMs?: number;
}

const BUCKET = /^(?!xn--)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const REGION = /^[a-z]{2,4}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}$/;

/**
 * Returns the address of the store: computed from the region, unless developer mode names another.
 *
 * @throws {@link KmsError} `CONFIG_INVALID` naming every option at fault.
 */
export function checkOptions(options: S3StorageOptions): URL {
  const { bucket, region, developer, partBytes = 2 ** 23, attempts = 5, timeoutMs = 1, bodyTimeoutMs = 1 } = options;
  checkPath([options.prefix]);
  const faults: string[] = [];
  if (!BUCKET.test(bucket)) faults.push('bucket: 3 to 63 lower-case letters, digits, dots and dashes');
  else if (bucket.includes('.') && !pathStyle(options)) faults.push('bucket: a name with dots matches no certificate');
  if (!REGION.test(region)) faults.push('region: such as eu-west-1');
  const endpoint = parseEndpoint(developer?.endpoint ?? awsEndpoint(region));
  if (!endpoint) faults.push('endpoint: http://host:port or https://host:port, nothing behind it');
  if (!(Number.isInteger(partBytes) && partBytes >= 1024 && partBytes <= 2 ** 30))
    faults.push('partBytes: 1 KiB to 1 GiB');
  if (!(Number.isInteger(attempts) && attempts >= 1 && attempts <= 20)) faults.push('attempts: 1 to 20');
  if (!(timeoutMs > 0) || !(bodyTimeoutMs > 0)) faults.push('timeoutMs, bodyTimeoutMs: greater than zero');
  if (faults.length > 0 || !endpoint) {
    throw new KmsError('CONFIG_INVALID', `the settings of the S3 vault are wrong: ${faults.join('; ')}`);
  }
  return endpoint;
}

/** Whether the bucket's name goes into the path. */
export function pathStyle({ developer }: S3StorageOptions): boolean {
  return developer?.pathStyle ?? developer?.endpoint !== undefined;
}

function awsEndpoint(region: string): string {
  return `https://s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
}

function parseEndpoint(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const bare =
    url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  return bare && /^https?:$/.test(url.protocol) ? url : undefined;
}
