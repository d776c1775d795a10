/**
 * The numbered checks of a document, and the sheet on which one examination ticks them off. Numbers and titles
 * are stable: people quote them, docs/attestation.md lists them, a new check takes a new number.
 */
import { isKmsError } from '../../common/errors.ts';

/** Titles of the groups, by number. */
export const CHECK_GROUPS = {
  1: 'Envelope',
  2: 'Payload',
  3: 'Certificates',
  4: 'Time',
  5: 'Signatures',
  6: 'Measurement',
  7: 'Binding',
} as const;

/** What each check wants, by number. */
export const CHECKS = {
  '1.1': 'bytes, hex or base64 of at most 16640 bytes',
  '1.2': 'one strict CBOR item and nothing after it',
  '1.3': 'COSE_Sign1: an array of protected header, unprotected header, payload, signature',
  '1.4': 'protected header says ES384 and nothing else',
  '1.5': 'unprotected header is empty',
  '1.6': 'signature has 96 bytes (P-384, r and s)',
  '1.7': 'payload has 1 to 16384 bytes',
  '2.1': 'payload is one strict CBOR map with text keys',
  '2.2': 'module_id is printable text',
  '2.3': 'digest is SHA384',
  '2.4': 'timestamp is milliseconds since 1970',
  '2.5': 'either pcrs (enclave) or nitrotpm_pcrs (EC2 instance), not both',
  '2.6': 'PCRs have known indexes and 48 bytes each',
  '2.7': 'certificate has 1 to 1024 bytes',
  '2.8': 'cabundle has 1 to 8 certificates of 1 to 1024 bytes each',
  '2.9': 'public_key, user_data and nonce are absent, null or at most 1024 bytes',
  '3.1': 'first certificate of the bundle is the trust anchor, byte for byte',
  '3.2': 'every certificate is strict DER, X.509 version 3',
  '3.3': 'every certificate has a P-384 key and an ecdsa-with-SHA384 signature',
  '3.4': 'every issuer name is the subject of the certificate before',
  '3.5': 'authorities may sign certificates, within their path length',
  '3.6': 'the leaf is no authority and may sign documents',
  '3.7': 'no critical extension is unknown',
  '3.8': 'every certificate is valid at the validation time',
  '3.9': 'no certificate stands in the chain twice',
  '4.1': 'timestamp is not in the future',
  '4.2': 'timestamp is not too old',
  '5.1': 'every certificate is signed by the one before',
  '5.2': 'the document is signed by the leaf, over the bytes received',
  '6.1': 'PCRs that identify the code are present and not zero',
  '6.2': 'all PCRs of one trusted release are equal',
  '7.1': 'nonce is the one expected',
  '7.2': 'public_key is the one expected',
  '7.3': 'user_data is the one expected',
} as const;

/** A number out of {@link CHECKS}. */
export type CheckNumber = keyof typeof CHECKS;

/** How a check came out; one that depends on a failed one, or was not asked for, is not reached. */
export type CheckStatus = 'passed' | 'failed' | 'not-reached';

/** One check, or a group of them, in an explanation. */
export interface Check {
  readonly number: string;
  readonly title: string;
  readonly status: CheckStatus;
  /** What was found; absent where the title says it all. */
  readonly detail?: string;
  readonly checks?: readonly Check[];
}

const isCheckNumber = (text: string): text is CheckNumber => text in CHECKS;

/** The results of one examination; what was never ticked is not reached. */
export class CheckSheet {
  readonly #results = new Map<CheckNumber, { passed: boolean; detail: string | undefined }>();
  readonly #notes = new Map<CheckNumber, string>();

  /** Ticks a check off as passed. */
  pass(number: CheckNumber, detail?: string): void {
    this.#results.set(number, { passed: true, detail });
  }

  /** Ticks a check off as failed. */
  fail(number: CheckNumber, detail: string): void {
    this.#results.set(number, { passed: false, detail });
  }

  /** Says why a check is not reached. */
  note(number: CheckNumber, detail: string): void {
    this.#notes.set(number, detail);
  }

  /** Ticks a check off: passed when nothing is wrong, otherwise failed with all that is. */
  judge(number: CheckNumber, wrong: readonly string[], detail?: string): void {
    if (wrong.length === 0) this.pass(number, detail);
    else this.fail(number, wrong.join('; '));
  }

  /** Runs a reader whose expected failure fails the check; returns undefined then. */
  attempt<T>(number: CheckNumber, read: () => T): T | undefined {
    try {
      const value = read();
      this.pass(number);
      return value;
    } catch (error) {
      if (!isKmsError(error)) throw error;
      this.fail(number, error.message);
      return undefined;
    }
  }

  /** Returns the failed checks with their details, in order. */
  failures(): { number: CheckNumber; detail: string }[] {
    const failed: { number: CheckNumber; detail: string }[] = [];
    for (const number of Object.keys(CHECKS).filter(isCheckNumber)) {
      const result = this.#results.get(number);
      if (result?.passed === false) failed.push({ number, detail: result.detail ?? CHECKS[number] });
    }
    return failed;
  }

  /** Returns whether one check was made and failed. */
  failed(number: CheckNumber): boolean {
    return this.#results.get(number)?.passed === false;
  }

  /** Returns whether every check whose number begins with one of the given groups has passed. */
  passed(...groups: readonly string[]): boolean {
    return Object.keys(CHECKS)
      .filter(isCheckNumber)
      .filter((number) => groups.includes(number.slice(0, 1)))
      .every((number) => this.#results.get(number)?.passed === true);
  }

  /** Returns everything as a tree. */
  tree(): Check[] {
    return Object.entries(CHECK_GROUPS).map(([group, title]) => {
      const checks = Object.keys(CHECKS)
        .filter(isCheckNumber)
        .filter((number) => number.startsWith(`${group}.`))
        .map((number) => this.#check(number));
      const status: CheckStatus = checks.some((check) => check.status === 'failed')
        ? 'failed'
        : checks.some((check) => check.status === 'passed')
          ? 'passed'
          : 'not-reached';
      return { number: group, title, status, checks };
    });
  }

  #check(number: CheckNumber): Check {
    const result = this.#results.get(number);
    const status = result === undefined ? 'not-reached' : result.passed ? 'passed' : 'failed';
    const detail = result === undefined ? this.#notes.get(number) : result.detail;
    return { number, title: CHECKS[number], status, ...(detail === undefined ? {} : { detail }) };
  }
}
