/** Configurations of nodes in enclaves, for tests that read and never run them. */
import { parseConfig } from '../../../../common/config.ts';
import { NodeConfig } from '../../../../common/node-config.ts';

/** What may differ; each a piece of TOML. */
export interface EnclaveToml {
  /** Folder of its files. */
  readonly dir: string;
  /** Before the first section. */
  readonly top?: string;
  /** Where credentials come from, and where emulators are. */
  readonly aws?: string;
  /** In `[attestation]`. */
  readonly attestation?: string;
  /** In `[enclave]`. */
  readonly enclave?: string;
}

/** Returns a configuration with vaults in S3 and an engine in an enclave. */
export function enclaveConfig(toml: EnclaveToml): NodeConfig {
  const { dir, top = '', aws = 'instance_role = true', attestation = '', enclave = '' } = toml;
  const text = `
${top}
[engine]
socket_path = "/run/arca/engine.sock"
[aws]
region = "eu-west-1"
role_arn = "arn:aws:iam::111122223333:role/engine"
${aws}
[public_vault.storage.s3]
bucket = "pub"
[private_vault]
storage.s3.bucket = "priv"
keychain.aws_kms = {}
[attestation]
charter_path = "${dir}/charter.cbor"
record_path = "${dir}/record.cbor"
releases_path = "${dir}/releases.cbor"
${attestation}
[state]
path = "${dir}/core.sqlite"
[enclave]
image_path = "${dir}/engine.eif"
${enclave}
`;
  return parseConfig(NodeConfig, { text, env: {}, name: 'node.toml' });
}
