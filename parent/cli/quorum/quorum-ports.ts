/**
 * The ports of a quorum: those of the published local stacks unless others are wanted, all found free before anything
 * starts.
 */
import { usageFailure } from '../framework/failure.ts';
import { choosePorts, type WantedPort } from '../supervise/ports.ts';
import type { QuorumPorts } from './running-quorum.ts';

/** Ports of one party. */
export interface PartyPorts {
  readonly party: number;
  readonly clientPort: number;
  readonly meshPort: number;
  readonly opsPort: number;
  /** Where its own Core serves public material; the relay's port is the one that people are told. */
  readonly publicPort: number;
}

/** Between the ports of one party and those of the next. */
const STRIDE = 100;
const LAST_PORT = 65_535;
const HOST = '127.0.0.1';

/** What is wanted, beside the bases. */
export interface ChooseOptions extends QuorumPorts {
  readonly parties: number;
  /** Takes free ports where the wanted ones are taken. */
  readonly anyPorts: boolean;
  /** The mesh's ports at the last start: taken again, if they are free, where any will do. */
  readonly lastMeshPorts?: ReadonlyMap<number, number> | undefined;
}

/**
 * Returns the ports of all parties and of the common relay.
 *
 * @throws {@link KmsError} with exit code 2 if they do not fit, `PRECONDITION_FAILED` naming one that is taken.
 */
export async function chooseQuorumPorts(
  options: ChooseOptions,
): Promise<{ readonly publicPort: number; readonly parties: readonly PartyPorts[] }> {
  const { parties, anyPorts, lastMeshPorts } = options;
  const any: WantedPort = { purpose: 'public material of a party', option: '--public-port', address: HOST, port: 0 };
  const wanted = Array.from({ length: parties }, (_, index): WantedPort[] => {
    const party = index + 1;
    const meshPort = portOf(options.meshPort, index, '--mesh-port');
    const want = (purpose: string, option: string, port: number, fallback = anyPorts): WantedPort => ({
      purpose: `${purpose} of party ${party}`,
      option,
      address: HOST,
      port,
      fallback,
    });
    return [
      want('clients', '--port', portOf(options.clientPort, index, '--port')),
      meshPort === 0
        ? want('mesh', '--mesh-port', lastMeshPorts?.get(party) ?? 0, true)
        : want('mesh', '--mesh-port', meshPort),
      want('metrics and health', '--ops-port', portOf(options.opsPort, index, '--ops-port')),
    ];
  });
  const relay = { ...any, purpose: 'public material', port: options.publicPort, fallback: anyPorts };
  // Ports that must be these come first: none that may be any takes them away.
  const fixedFirst = [relay, ...wanted.flat(), ...wanted.map(() => any)];
  const order = fixedFirst.map((_, at) => at).sort((a, b) => rank(fixedFirst[a]) - rank(fixedFirst[b]) || a - b);
  const chosen = await choosePorts(order.flatMap((at) => fixedFirst[at] ?? []));
  const ports = new Map(order.map((at, index) => [at, chosen[index] ?? 0]));
  return {
    publicPort: ports.get(0) ?? 0,
    parties: wanted.map((_, index) => ({
      party: index + 1,
      clientPort: ports.get(1 + 3 * index) ?? 0,
      meshPort: ports.get(2 + 3 * index) ?? 0,
      opsPort: ports.get(3 + 3 * index) ?? 0,
      publicPort: ports.get(1 + 3 * parties + index) ?? 0,
    })),
  };
}

function rank(want: WantedPort | undefined): number {
  return want === undefined || want.port === 0 ? 2 : want.fallback ? 1 : 0;
}

function portOf(base: number, index: number, option: string): number {
  if (base === 0) return 0;
  const port = base + STRIDE * index;
  if (port <= LAST_PORT) return port;
  const what = `${option} ${base} leaves no port for party ${index + 1}: each has its own, ${STRIDE} apart`;
  throw usageFailure(what, `choose a smaller ${option}, or 0 for any free ones`);
}
