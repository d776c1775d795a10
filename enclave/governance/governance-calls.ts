/**
 * The link's calls about governance: put an object, show the state, require an approval. All of it is public.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { encodeCharter, encodeSigned, isProposalKind } from '../../attestation/governance/index.ts';
import { KmsError } from '../../common/errors.ts';
import { ApprovalCallSchema, GovernanceObjectSchema, GovernanceStateSchema } from '../../proto/gen/engine_pb.js';
import type { CallHandler } from '../call.ts';
import { decodeRequest } from '../decode-request.ts';
import type { ManifestHead } from '../seal/manifest-head.ts';
import type { GovernanceMemory } from './governance-memory.ts';

/** What these calls need. */
export interface GovernanceCallDeps {
  readonly governance: GovernanceMemory;
  readonly incarnation: number;
  /** Of a sealed vault. */
  readonly head?: Pick<ManifestHead, 'point'> | undefined;
}

const KINDS = ['record', 'release-set', 'proposal'] as const;
const DIGEST_BYTES = 48;

/** `governancePut`: takes a signed object and answers with what then holds. */
export const governancePut =
  (deps: GovernanceCallDeps): CallHandler =>
  async ({ body }) => {
    const { kind: name, content } = decodeRequest(GovernanceObjectSchema, body);
    const kind = KINDS.find((known) => known === name);
    if (!kind) throw new KmsError('REQUEST_INVALID', `kind needs to be one of ${KINDS.join(', ')}`);
    // The body is a view into the link's frame; the book keeps what it takes.
    await deps.governance.offer({ kind, content: content.slice() });
    return state(deps);
  };

/** `governanceState`: charter, record, release sets, proposals. */
export const governanceState =
  (deps: GovernanceCallDeps): CallHandler =>
  () =>
    state(deps);

/** `requireApproval`: answers with nothing once governance has approved the change. */
export const requireApproval =
  ({ governance }: GovernanceCallDeps): CallHandler =>
  async ({ body }) => {
    const { kind, digest } = decodeRequest(ApprovalCallSchema, body);
    if (!isProposalKind(kind)) throw new KmsError('REQUEST_INVALID', 'kind names no kind of proposal');
    if (digest.byteLength !== DIGEST_BYTES) throw new KmsError('REQUEST_INVALID', 'digest needs 48 bytes');
    await governance.requireApproval(kind, digest.slice());
    return new Uint8Array();
  };

function state({ governance, incarnation, head }: GovernanceCallDeps): Uint8Array {
  const { book } = governance;
  const point = head?.point;
  const { record, releases, pending } = book;
  return toBinary(
    GovernanceStateSchema,
    create(GovernanceStateSchema, {
      charter: encodeCharter(book.charter),
      ...(record ? { record: encodeSigned(record) } : {}),
      ...(releases ? { releases: encodeSigned(releases) } : {}),
      ...(pending ? { pendingReleases: encodeSigned(pending.set) } : {}),
      pendingFromMs: BigInt(pending?.effectiveFromMs ?? 0),
      proposals: book.proposals.map(({ digest, kind, signatures, needed, approved }) => ({
        digest,
        kind,
        signatures,
        needed,
        inForce: approved,
      })),
      incarnation: BigInt(incarnation),
      ...(point && { vaultSequence: BigInt(point.sequence), vaultDigest: point.digest }),
    }),
  );
}
