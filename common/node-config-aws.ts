/**
 * `[aws]`: region and credentials for S3 and AWS KMS. Which keys of AWS KMS are used stands in the governed record, and
 * where the services are reached follows from the region: neither is a setting, outside of developer mode.
 *
 * SECRET: `developer_secret_access_key`, which only developer mode takes.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';

/** A published key that is somewhere else here, and why. */
const unavailable = (why: string) =>
  z
    .never({ error: `${why}; remove it` })
    .optional()
    .describe(`Refused: ${why}.`);

const ENDPOINT = 'needs http://host:port or https://host:port, nothing behind it';
const endpoint = z.string().refine(isOrigin, ENDPOINT).optional();
const computed = (name: string) =>
  unavailable(`its address follows from the region; developer mode has ${name} for an emulator`);

/** Keys of {@link awsSection} that only the developer programs know. */
export const DEVELOPER_AWS_KEYS = [
  'developer_access_key_id',
  'developer_secret_access_key',
  'developer_s3_endpoint',
  'developer_kms_endpoint',
  'developer_sts_endpoint',
] as const;

/** `[aws]`. */
export const awsSection = z
  .strictObject({
    region: z
      .string()
      .regex(/^[a-z]{2}(?:-[a-z]+){1,3}-\d{1,2}$/, 'needs a region such as eu-west-1')
      .describe('Region of the buckets; keys of AWS KMS carry theirs in the governed record.'),
    role_arn: z
      .string()
      .regex(/^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/, 'needs the ARN of a role')
      .optional()
      .describe('Role of the engine, as policies of root keys name it; also what a web identity token is taken for.'),
    web_identity_token_path: z
      .string()
      .refine(isAbsolute, 'needs an absolute path')
      .optional()
      .describe('File of the token that AWS STS takes for role_arn; read again for each renewal.'),
    instance_role: z
      .boolean()
      .default(false)
      .describe("Takes the role of the EC2 instance, from the instance's metadata service."),
    developer_access_key_id: z.string().min(1).optional().describe('Id of a fixed access key; only in developer mode.'),
    developer_secret_access_key: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'Secret of that access key; only in developer mode.', sensitive: true }),
    developer_s3_endpoint: endpoint.describe('Address of an S3 server of one’s own; only in developer mode.'),
    developer_kms_endpoint: endpoint.describe('Address of an emulator of AWS KMS; only in developer mode.'),
    developer_sts_endpoint: endpoint.describe('Address of an emulator of AWS STS; only in developer mode.'),
    s3_endpoint: computed('developer_s3_endpoint'),
    awskms_endpoint: computed('developer_kms_endpoint'),
    sts_endpoint: computed('developer_sts_endpoint'),
    imds_endpoint: unavailable('the metadata service of an instance has one address'),
  })
  .superRefine((aws, context) => {
    const fault = (name: string, message: string): void => context.addIssue({ code: 'custom', path: [name], message });
    const together = (one: keyof typeof aws, other: keyof typeof aws): boolean => {
      const [isOne, isOther] = [aws[one] !== undefined, aws[other] !== undefined];
      if (isOne && !isOther) fault(other, `is missing; ${one} goes with it`);
      return isOne;
    };
    const ways = [
      together('web_identity_token_path', 'role_arn'),
      aws.instance_role,
      together('developer_access_key_id', 'developer_secret_access_key') ||
        together('developer_secret_access_key', 'developer_access_key_id'),
    ];
    if (ways.filter(Boolean).length === 1) return;
    const message =
      'needs one source of credentials: role_arn with web_identity_token_path, or instance_role = true; in developer mode also developer_access_key_id with developer_secret_access_key';
    fault('instance_role', message);
  })
  .describe('Amazon Web Services; needed by vaults in S3 and by the keychain aws_kms.');

/** See {@link awsSection}. */
export type AwsConfig = z.infer<typeof awsSection>;

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search, hash, username, password } = new URL(text);
  const bare = pathname === '/' && search === '' && hash === '' && username === '' && password === '';
  return bare && /^https?:$/.test(protocol) && !text.endsWith('/');
}
