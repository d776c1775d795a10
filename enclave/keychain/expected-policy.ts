/**
 * What an engine asks of the policy of its root key: that its own release, under its own charter, can use it, and nobody but
 * releases that are in force. Public.
 */
import { type Charter, engineReleases, pcr16Of, type ReleaseSet } from '../../attestation/governance/index.ts';
import { equalBytes } from '../../common/bytes.ts';
import { KmsError } from '../../common/errors.ts';
import type { KeyPolicyExpectation } from '../../wire/key-policy/lint.ts';

/** What an engine knows of itself and of what is in force. */
export interface PolicySetting {
  readonly charter: Charter;
  readonly releases: ReleaseSet;
  /** Registers of this engine; 0, 1 and 2 at least. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** ARN of the role under which it calls AWS. */
  readonly engineRole: string;
}

/**
 * Returns what `checkRootKey` judges the engine's key against.
 *
 * @throws {@link KmsError} `PRECONDITION_FAILED` if the release set in force does not list this engine: then it can judge no
 *   policy.
 */
export function expectedPolicy({
  charter,
  releases,
  pcrs,
  engineRole,
}: PolicySetting): Omit<KeyPolicyExpectation, 'account'> {
  const all = engineReleases(releases);
  const own = all.filter((release) => [0, 1, 2].every((index) => isSame(release.pcrs.get(index), pcrs.get(index))));
  if (own.length === 0) {
    const cure = 'hand it a set that does (arca release apply)';
    throw new KmsError('PRECONDITION_FAILED', `release set ${releases.version} does not list this engine: ${cure}`, {
      version: releases.version,
    });
  }
  return { engineRole, releases: own, alsoAllowed: all, pcr16: pcr16Of(charter) };
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && equalBytes(a, b);
}
