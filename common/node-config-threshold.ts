/**
 * `[threshold]`: a node that holds one party's shares. Without the section a node is centralized and holds whole keys.
 *
 * Who the parties are, their addresses and where their meshes listen stands in the governed record, this party's number in
 * its charter: neither is a setting of the operator.
 */
import { isIP } from 'node:net';
import { z } from 'zod';

const later = 'is not available in this release';
/** A published key that is somewhere else here, or not there at all, and why. */
const unavailable = (why: string) =>
  z
    .never({ error: `${why}; remove it` })
    .optional()
    .describe(`Refused: ${why}.`);

/** `[threshold]`. */
export const thresholdSection = z
  .strictObject({
    listen_address: z
      .string()
      .refine((text) => text === 'localhost' || isIP(text) !== 0, 'needs an IP address or localhost')
      .default('127.0.0.1')
      .describe('Address on which the engines of the other parties reach this one, over the attested mesh.'),
    listen_port: z
      .int()
      .min(1, 'needs a port of 1 to 65535')
      .max(65_535, 'needs a port of 1 to 65535')
      .default(50_001)
      .describe('Port of the mesh.'),
    round_timeout_secs: z
      .int()
      .min(1, 'needs 1 to 3600 seconds')
      .max(3600, 'needs 1 to 3600 seconds')
      .default(60)
      .describe('How long a round of a synchronous protocol waits for a party before it is taken as silent.'),
    developer_lie: z
      .boolean()
      .default(false)
      .describe('Sends wrong shares: shows that a quorum survives it. Accepted by the developer programs alone.'),
    threshold: unavailable('the number of parties stands in the governed record'),
    my_id: unavailable('the number of this party stands in its charter'),
    peers: unavailable('the parties stand in the governed record'),
    tls: unavailable('connections between parties are always attested'),
    decryption_mode: unavailable('decryptions use NoiseFloodSmall'),
    core_to_core_net: unavailable('the mesh sizes its own buffers'),
    num_sessions_preproc: unavailable(`distributed preprocessing ${later}`),
    dec_capacity: unavailable('it stands in store'),
    min_dec_cache: unavailable('it stands in store'),
  })
  .describe('The quorum; a node without this section is centralized.');
