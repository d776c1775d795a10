/**
 * Which EC2 instance a module belongs to: by its id, and by the register that the hypervisor sets. Public values.
 */
import { createHash } from 'node:crypto';

/** Register of an enclave that holds its parent's instance id. */
export const INSTANCE_PCR = 4;
const PCR_BYTES = 48;

/** Returns what PCR4 of an enclave is: SHA-384(0^48 ‖ instance id). */
export const instanceRegister = (instanceId: string): Uint8Array =>
  createHash('sha384').update(new Uint8Array(PCR_BYTES)).update(instanceId).digest();

/** Returns the instance part of a module id: what stands before `-enc…` or `-tpm…`. */
export const instanceOf = (moduleId: string): string => /^(.+?)-(?:enc|tpm)[0-9a-f]*$/.exec(moduleId)?.[1] ?? moduleId;
