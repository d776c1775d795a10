/**
 * Tells on which line of a TOML text a key stands, for error messages.
 *
 * Not a parser: it runs on texts that smol-toml has accepted and needs to find no more than the keys of tables
 * and of `key = value` lines. Keys inside of inline tables and arrays are found with the line that they begin on.
 */

const BARE_KEY = /[A-Za-z0-9_-]/;

/** Maps the path of each key and table, joined by NUL, to its 1-based line. */
export type TomlLines = ReadonlyMap<string, number>;

/** Returns where each table and key of an accepted TOML text stands. */
export function tomlLines(text: string): TomlLines {
  const scan: Scan = { text, at: 0, line: 1 };
  const lines = new Map<string, number>();
  let table: readonly string[] = [];
  while (skipBlank(scan)) {
    const { line } = scan;
    if (scan.text[scan.at] === '[') {
      while (scan.text[scan.at] === '[') scan.at++;
      table = readKey(scan);
      note(lines, table, line);
      skipStatement(scan);
    } else {
      const key = readKey(scan);
      if (key.length === 0) scan.at++; // cannot be in accepted TOML; never stand still
      note(lines, [...table, ...key], line);
      skipStatement(scan);
    }
  }
  return lines;
}

/** Returns the line of a key, else of the innermost table or key around it, else undefined. */
export function lineOf(lines: TomlLines, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const line = lines.get(path.slice(0, length).map(String).join('\0'));
    if (line !== undefined) return line;
  }
  return undefined;
}

interface Scan {
  readonly text: string;
  at: number;
  line: number;
}

function note(lines: Map<string, number>, path: readonly string[], line: number): void {
  for (let length = 1; length <= path.length; length++) {
    const name = path.slice(0, length).join('\0');
    if (!lines.has(name)) lines.set(name, line);
  }
}

/** Goes to the next statement over blanks, line ends and comments. Returns false at the end of the text. */
function skipBlank(scan: Scan): boolean {
  while (scan.at < scan.text.length) {
    const letter = scan.text[scan.at];
    if (letter === '#') skipComment(scan);
    else if (letter === '\n') step(scan);
    else if (letter === ' ' || letter === '\t' || letter === '\r' || letter === '\uFEFF') scan.at++;
    else return true;
  }
  return false;
}

function skipComment(scan: Scan): void {
  while (scan.at < scan.text.length && scan.text[scan.at] !== '\n') scan.at++;
}

function step(scan: Scan): void {
  if (scan.text[scan.at] === '\n') scan.line++;
  scan.at++;
}

/** Reads `a."b c".d` into its parts. */
function readKey(scan: Scan): string[] {
  const parts: string[] = [];
  while (true) {
    skipSpaces(scan);
    const start = scan.at;
    const quote = scan.text[scan.at];
    if (quote === '"' || quote === "'") {
      skipString(scan);
      const raw = scan.text.slice(start, scan.at);
      parts.push(quote === '"' ? unescapeKey(raw) : raw.slice(1, -1));
    } else {
      while (BARE_KEY.test(scan.text[scan.at] ?? '')) scan.at++;
      if (scan.at > start) parts.push(scan.text.slice(start, scan.at));
    }
    skipSpaces(scan);
    if (scan.text[scan.at] !== '.') return parts;
    scan.at++;
  }
}

function unescapeKey(raw: string): string {
  try {
    return String(JSON.parse(raw));
  } catch {
    return raw.slice(1, -1); // TOML knows a few escapes that JSON does not; the line of such a key is not worth more
  }
}

function skipSpaces(scan: Scan): void {
  while (scan.text[scan.at] === ' ' || scan.text[scan.at] === '\t') scan.at++;
}

/** Goes to the end of a statement: the line end that is outside of strings, arrays and inline tables. */
function skipStatement(scan: Scan): void {
  let depth = 0;
  while (scan.at < scan.text.length) {
    const letter = scan.text[scan.at];
    if (letter === '\n' && depth <= 0) return;
    if (letter === '"' || letter === "'") skipString(scan);
    else if (letter === '#') skipComment(scan);
    else {
      if (letter === '[' || letter === '{') depth++;
      if (letter === ']' || letter === '}') depth--;
      step(scan);
    }
  }
}

/** Goes past a string of any of the four kinds. */
function skipString(scan: Scan): void {
  const quote = scan.text[scan.at] ?? '';
  const triple = scan.text.startsWith(quote.repeat(3), scan.at);
  const end = triple ? quote.repeat(3) : quote;
  scan.at += end.length;
  while (scan.at < scan.text.length) {
    if (scan.text.startsWith(end, scan.at)) {
      scan.at += end.length;
      // `""""` ends a multi-line string that itself ends in a quote.
      while (triple && scan.text[scan.at] === quote) scan.at++;
      return;
    }
    if (quote === '"' && scan.text[scan.at] === '\\') step(scan);
    step(scan);
  }
}
