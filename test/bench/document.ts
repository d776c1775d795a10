/** Puts the figures into docs/benchmarks.md, between markers; the words around them are written by hand. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Figures, markdownTable } from './figures.ts';

const PAGE = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url));
const BEGIN = '<!-- figures: written by npm run bench -->';
const END = '<!-- end of figures -->';

/** Replaces the figures on the page. */
export async function writePage(machine: string, figures: Figures): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error('docs/benchmarks.md has lost its markers');
  const content = `${BEGIN}\n\nMachine: ${machine}.\n\n${markdownTable(figures.all())}\n\n`;
  await writeFile(PAGE, page.slice(0, begin) + content + page.slice(end));
}
