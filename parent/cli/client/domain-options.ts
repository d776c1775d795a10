/**
 * The `--domain-*` and `--extra-data` options: the EIP-712 domain of requests. The defaults are those of the
 * published client.
 */
import { Option } from '@commander-js/extra-typings';

/** A domain as results carry it. */
export interface DomainText {
  readonly name: string;
  readonly version: string;
  /** Decimal. */
  readonly chainId: string;
  readonly verifyingContract: string;
}

/** The domain of the published client. */
export const DEFAULT_DOMAIN: DomainText = {
  name: 'Authorization token',
  version: '1',
  chainId: '8006',
  verifyingContract: '0x66f9664f97F2b50F62D13eA064982f936dE76657',
};

/** What commander makes of the options below. */
export interface DomainOptions {
  readonly domainName: string;
  readonly domainVersion: string;
  readonly domainChain: string;
  readonly domainContract: string;
}

/** `--domain-name`. */
export const domainNameOption = () =>
  new Option('--domain-name <text>', 'name of the EIP-712 domain').default(DEFAULT_DOMAIN.name);
/** `--domain-version`. */
export const domainVersionOption = () =>
  new Option('--domain-version <text>', 'version of the EIP-712 domain').default(DEFAULT_DOMAIN.version);
/** `--domain-chain`. */
export const domainChainOption = () =>
  new Option('--domain-chain <id>', 'chain id of the EIP-712 domain').default(DEFAULT_DOMAIN.chainId);
/** `--domain-contract`. */
export const domainContractOption = () =>
  new Option('--domain-contract <address>', 'verifying contract of the EIP-712 domain').default(
    DEFAULT_DOMAIN.verifyingContract,
  );
/** `--extra-data`. */
export const extraDataOption = () =>
  new Option('--extra-data <hex>', 'extra_data of the request, signed verbatim; clients of 0.12 need it empty').default(
    '',
  );
