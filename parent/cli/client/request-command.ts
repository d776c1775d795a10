/**
 * Commands whose requests carry an EIP-712 domain: one list of options for all of them.
 */
import { createNodeCommand, publicUrlOption } from '../framework/command.ts';
import {
  domainChainOption,
  domainContractOption,
  domainNameOption,
  domainVersionOption,
  extraDataOption,
} from './domain-options.ts';

/** Makes a command as `createNodeCommand` does, with public material, domain and extra_data. */
export const createRequestCommand = (name: string, description: string, examples: readonly string[]) =>
  createNodeCommand(name, description, examples)
    .addOption(publicUrlOption())
    .addOption(domainNameOption())
    .addOption(domainVersionOption())
    .addOption(domainChainOption())
    .addOption(domainContractOption())
    .addOption(extraDataOption());
