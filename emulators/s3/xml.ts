/**
 * The little XML that S3 speaks: answers are written, and the flat bodies of a few requests are read. No entities but
 * the five of XML, no doctypes, no processing instructions: what S3 never sends is refused.
 */
import { S3Error } from './errors.ts';

const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** An element: its name and its text or its children. Undefined children are left out. */
export type Element = readonly [name: string, content: string | number | boolean | readonly (Element | undefined)[]];

/** Writes an answer's body. */
export function writeXml([name, content]: Element, { namespace = true } = {}): string {
  const attribute = namespace ? ` xmlns="${NAMESPACE}"` : '';
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${name}${attribute}>${inner(content)}</${name}>`;
}

function inner(content: Element[1]): string {
  if (!Array.isArray(content)) return escapeText(String(content));
  return (content as readonly (Element | undefined)[])
    .filter((child) => child !== undefined)
    .map(([name, value]) => `<${name}>${inner(value)}</${name}>`)
    .join('');
}

function escapeText(text: string): string {
  return text.replace(
    /[<>&"'\r]/g,
    (c) => ({ '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;', "'": '&apos;' })[c] ?? '&#13;',
  );
}

/** A read element. */
export interface Node {
  readonly name: string;
  readonly text: string;
  readonly children: readonly Node[];
}

const MAX_DEPTH = 8;
const TOKEN = /<(\/?)([A-Za-z][\w:.-]*)((?:\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/gy;

/**
 * Reads a request's body.
 *
 * @throws S3Error `MalformedXML`.
 */
export function readXml(body: string, rootName: string): Node {
  const text = body.replace(/^\uFEFF?\s*<\?xml[^<>]*\?>/, '').trim();
  const root = { name: '', text: '', children: [] as Node[] };
  const open: { name: string; text: string; children: Node[] }[] = [root];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text);
    const top = open.at(-1);
    if (!match || !top) throw new S3Error('MalformedXML');
    const [, closing, name, , empty, characters] = match;
    if (characters !== undefined) top.text += unescapeText(characters);
    else if (closing) {
      if (open.length === 1 || top.name !== name) throw new S3Error('MalformedXML');
      open.pop();
    } else {
      const node = { name: name ?? '', text: '', children: [] };
      top.children.push(node);
      if (!empty) open.push(node);
      if (open.length > MAX_DEPTH) throw new S3Error('MalformedXML');
    }
  }
  const [only] = root.children;
  if (open.length !== 1 || root.children.length !== 1 || only?.name !== rootName || root.text.trim() !== '') {
    throw new S3Error('MalformedXML');
  }
  return only;
}

/** Returns the text of the one child of that name, or undefined. */
export function childText(node: Node, name: string): string | undefined {
  return node.children.find((child) => child.name === name)?.text.trim();
}

function unescapeText(text: string): string {
  return text.replace(/&([^;&]*;?)/g, (_, entity: string) => {
    const plain = { 'lt;': '<', 'gt;': '>', 'amp;': '&', 'quot;': '"', 'apos;': "'" }[entity];
    if (plain !== undefined) return plain;
    const code = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}));$/.exec(entity);
    const point = code?.[1] ? Number.parseInt(code[1], 16) : Number(code?.[2] ?? Number.NaN);
    if (!(point > 0 && point <= 0x10ffff)) throw new S3Error('MalformedXML');
    return String.fromCodePoint(point);
  });
}
