/**
 * `[enclave]`: how `arca run` starts the enclave in which the engine of this node runs. The parent's own business: none of it
 * reaches the enclave, and none of it can weaken one.
 */
import { isAbsolute } from 'node:path';
import { z } from 'zod';

const absolutePath = z.string().refine(isAbsolute, 'needs an absolute path');

/** `host:port` that an enclave may ask its parent to connect it to. */
const HOST_PORT = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):(?:[1-9]\d{0,4})$/;
/** CIDs below belong to the hypervisor, this machine and the parent. */
const FIRST_CID = 4;
const LAST_CID = 0xfffffffe;

/** `[enclave]`. */
export const enclaveSection = z
  .strictObject({
    image_path: absolutePath.describe('Enclave image of the engine, as `arca image build` makes it.'),
    backend: z
      .enum(['nitro-cli', 'qemu'], 'needs nitro-cli or qemu')
      .default('nitro-cli')
      .describe("What starts it: the Nitro hypervisor, or for tests QEMU's machine of the same shape."),
    memory_mb: z
      .int()
      .min(64, 'needs at least 64 MB')
      .max(1_048_576, 'needs at most 1048576 MB')
      .optional()
      .describe('Memory of the enclave in MB; computed from the image and the kind of node if absent.'),
    cpus: z
      .int()
      .min(1, 'needs 1 to 128')
      .max(128, 'needs 1 to 128')
      .default(2)
      .describe('CPUs of the enclave: whole cores, so an even number where cores have two threads.'),
    cid: z
      .int()
      .min(FIRST_CID, `needs ${FIRST_CID} or more`)
      .max(LAST_CID, `needs ${LAST_CID} or less`)
      .default(16)
      .describe('Its vsock address on this machine; no other enclave may have it.'),
    egress: z
      .array(z.string().regex(HOST_PORT, 'needs host:port'))
      .default([])
      .describe('What it may be connected to beside AWS in its region and the parties of the governed record.'),
    developer_authorities_path: absolutePath
      .optional()
      .describe('Authorities of emulators, PEM, for test images; only in developer mode.'),
  })
  .describe('The enclave of `arca run`; of other programs only the Core reads its authorities, in developer mode.');

/** See {@link enclaveSection}. */
export type EnclaveConfig = z.infer<typeof enclaveSection>;
