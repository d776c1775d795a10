/**
 * Completion scripts: a table of what may follow each command, in the shell's own words.
 *
 * Options with few values complete to those; other words complete to file names.
 */
/** Shells that have a script. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** A command of the tree: what may follow it. */
interface Entry {
  /** `''` for the program itself, `'key generate'` below it. */
  readonly path: string;
  readonly description: string;
  readonly words: readonly string[];
  readonly options: readonly OptionShape[];
  readonly children: readonly Entry[];
}

/** What a completion needs to see of an option. */
interface OptionShape {
  readonly long?: string | undefined;
  readonly hidden: boolean;
  /** Takes a value. */
  readonly required: boolean;
  readonly argChoices?: readonly string[] | undefined;
  readonly description: string;
}

/** What a completion needs to see of a command. */
export interface CommandTree {
  name(): string;
  description(): string;
  readonly commands: readonly CommandTree[];
  readonly options: readonly OptionShape[];
  readonly registeredArguments: readonly { readonly argChoices?: readonly string[] | undefined }[];
}

/** Returns the script of a shell for a tree of commands. */
export function completionScript(shell: (typeof SHELLS)[number], program: CommandTree): string {
  const root = readEntry(program, '');
  const entries = flatten(root);
  switch (shell) {
    case 'bash':
      return bashScript(entries);
    case 'zsh':
      return zshScript(entries);
    case 'fish':
      return fishScript(entries);
  }
}

function readEntry(command: CommandTree, path: string): Entry {
  const children = command.commands.map((child) => readEntry(child, `${path} ${child.name()}`.trim()));
  const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
  const options = command.options.filter((option) => !option.hidden);
  return {
    path,
    description: command.description(),
    words: [...children.map((child) => child.path.split(' ').at(-1) ?? ''), ...choices],
    options,
    children,
  };
}

function flatten(entry: Entry): Entry[] {
  return [entry, ...entry.children.flatMap(flatten)];
}

const flags = (entry: Entry) => [...entry.options.map((option) => option.long ?? ''), '--help'].filter(Boolean);

/** `option → values` of all options that have few values; the same name means the same values everywhere. */
function choicesByFlag(entries: readonly Entry[]): Map<string, readonly string[]> {
  const pairs = entries.flatMap(({ options }) =>
    options.flatMap(({ long, argChoices }): [string, readonly string[]][] =>
      long && argChoices ? [[long, argChoices]] : [],
    ),
  );
  return new Map(pairs);
}

/** The two shell functions that bash and zsh share: words after a command, values of an option. */
function tables(entries: readonly Entry[]): string {
  const words = entries.map((entry) => `    '${entry.path}') echo '${[...entry.words, ...flags(entry)].join(' ')}' ;;`);
  const values = [...choicesByFlag(entries)].map(([flag, choices]) => `    ${flag}) echo '${choices.join(' ')}' ;;`);
  return `_arca_words() {
  case "$1" in
${words.join('\n')}
  esac
}

_arca_values() {
  case "$1" in
${values.join('\n')}
  esac
}

# Walks the words of the line (without the program's name and the word being typed) down the tree of commands.
_arca_path() {
  local at='' word next
  for word in "$@"; do
    case $word in -*) continue ;; esac
    next="$at\${at:+ }$word"
    if [ -n "$(_arca_words "$next")" ]; then at=$next; fi
  done
  echo "$at"
}
`;
}

function bashScript(entries: readonly Entry[]): string {
  return `# bash completion of arca: source <(arca completion bash)
${tables(entries)}
_arca() {
  local cur=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} words
  words=$(_arca_values "$previous")
  if [ -z "$words" ]; then words=$(_arca_words "$(_arca_path "\${COMP_WORDS[@]:1:COMP_CWORD-1}")"); fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}

complete -o default -F _arca arca
`;
}

function zshScript(entries: readonly Entry[]): string {
  return `#compdef arca
# zsh completion of arca: arca completion zsh > ~/.zfunc/_arca, with ~/.zfunc in $fpath
${tables(entries)}
_arca() {
  local choices
  choices=$(_arca_values "\${words[CURRENT-1]}")
  if [ -z "$choices" ]; then choices=$(_arca_words "$(_arca_path "\${(@)words[2,CURRENT-1]}")"); fi
  compadd -- \${=choices}
  _files
}

if [ "$funcstack[1]" = _arca ]; then _arca "$@"; else compdef _arca arca; fi
`;
}

function fishScript(entries: readonly Entry[]): string {
  const quote = (text: string) => `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'")}'`;
  const lines = entries.flatMap((entry) => {
    const parents = entry.path === '' ? [] : entry.path.split(' ');
    const siblings = entry.children.map((child) => child.path.split(' ').at(-1) ?? '');
    const seen = parents.map((word) => `__fish_seen_subcommand_from ${word}`);
    const notYet = siblings.length > 0 ? [`not __fish_seen_subcommand_from ${siblings.join(' ')}`] : [];
    const here = [...seen, ...notYet].join('; and ');
    const condition = here === '' ? '' : ` -n ${quote(here)}`;
    const words = entry.words.map((word) => {
      const child = entry.children.find(({ path }) => path.split(' ').at(-1) === word);
      return `complete -c arca -f${condition} -a ${word}${child ? ` -d ${quote(child.description)}` : ''}`;
    });
    const options = entry.options.map((option) => {
      const values = option.argChoices ? ` -x -a ${quote(option.argChoices.join(' '))}` : option.required ? ' -r' : '';
      return `complete -c arca${condition} -l ${(option.long ?? '').slice(2)}${values} -d ${quote(option.description)}`;
    });
    return [...words, ...options];
  });
  return `# fish completion of arca: arca completion fish > ~/.config/fish/completions/arca.fish\n${lines.join('\n')}\n`;
}
