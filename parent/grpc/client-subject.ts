/**
 * The subject of a client certificate as allow-lists name it: the common name, or the whole subject as RFC 4514
 * writes it. Never asks Node for the legacy form of a certificate, which crashes on some curves.
 */
import type { X509Certificate } from 'node:crypto';

/** A subject, in both forms. */
export interface ClientSubject {
  /** The one common name, unescaped; undefined if the subject has none or several. */
  readonly commonName: string | undefined;
  /** The whole subject, the most specific part first: `CN=alice,OU=ops,O=Example`. */
  readonly rfc4514: string;
}

/** Reads the subject of a certificate that has been verified. */
export function subjectOf(certificate: X509Certificate): ClientSubject {
  return parseSubject(certificate.subject);
}

/**
 * Reads a subject as `X509Certificate.subject` has it: a part per line, the most general first, values escaped as
 * RFC 2253 says, several attributes of one part joined with ` + `.
 *
 * @example
 * parseSubject('O=Example\nCN=alice'); // { commonName: 'alice', rfc4514: 'CN=alice,O=Example' }
 */
export function parseSubject(text: string): ClientSubject {
  // Node says undefined, against its types, when the subject is empty.
  const parts = (text ?? '').split('\n').map((part) => part.split(/(?<!\\) \+ /));
  const names = parts.flat().filter((attribute) => attribute.startsWith('CN='));
  const [only] = names;
  return {
    commonName: names.length === 1 && only !== undefined ? unescapeValue(only.slice(3)) : undefined,
    rfc4514: parts
      .map((attributes) => attributes.join('+'))
      .reverse()
      .join(','),
  };
}

/**
 * Returns whether a list names the subject. An entry with an equals sign is a whole subject, any other a common name,
 * so that no common name can pass for a subject.
 */
export function isListed(subject: ClientSubject, list: readonly string[]): boolean {
  return list.some((entry) => (entry.includes('=') ? entry === subject.rfc4514 : entry === subject.commonName));
}

function unescapeValue(value: string): string {
  const bytes: number[] = [];
  for (let at = 0; at < value.length; at++) {
    const character = value[at] ?? '';
    if (character !== '\\') {
      const whole = String.fromCodePoint(value.codePointAt(at) ?? 0);
      bytes.push(...Buffer.from(whole, 'utf8'));
      at += whole.length - 1;
      continue;
    }
    const hex = value.slice(at + 1, at + 3);
    if (/^[0-9A-Fa-f]{2}$/.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      at += 2;
    } else {
      bytes.push(...Buffer.from(value[++at] ?? '', 'utf8'));
    }
  }
  return Buffer.from(bytes).toString('utf8');
}
