import { Argument, type Command } from 'commander';

/** `ngbak completion` */
export function completionCommand(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for your shell')
    .description(
      'Prints a completion script. bash: `source <(ngbak completion bash)` · zsh: `source <(ngbak completion zsh)` · fish: `ngbak completion fish | source`',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .action((shell: 'bash' | 'zsh' | 'fish') => {
      process.stdout.write(completionScript(program, shell));
    });
}

/** Candidates after the words of a command; `path` is those words, empty for `ngbak` itself. */
interface Level {
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly about: string }[];
  /** Values of options with a fixed set of choices, by flag. */
  readonly values: readonly { readonly flag: string; readonly values: readonly string[] }[];
}

/** The completion script for a shell, generated from the commands, options and choices of the program. */
export function completionScript(program: Command, shell: 'bash' | 'zsh' | 'fish'): string {
  const levels = levelsOf(program, program, '');
  if (shell === 'fish') return fishScript(levels);
  const bash = bashScript(levels);
  return shell === 'bash' ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`;
}

function levelsOf(command: Command, program: Command, path: string): Level[] {
  const options = command === program ? program.options : [...command.options, ...program.options];
  const level: Level = {
    path,
    words: [
      ...command.commands.map((inner) => ({ word: inner.name(), about: inner.summary() })),
      ...command.registeredArguments.flatMap(({ argChoices = [] }) =>
        argChoices.map((word) => ({ word, about: '' })),
      ),
      ...options.flatMap(({ long, description }) => (long ? [{ word: long, about: description }] : [])),
    ],
    values: options.flatMap(({ long, argChoices }) =>
      long && argChoices ? [{ flag: long, values: argChoices }] : [],
    ),
  };
  const inner = command.commands.flatMap((child) =>
    levelsOf(child, program, path === '' ? child.name() : `${path} ${child.name()}`),
  );
  return [level, ...inner];
}

/** The key by which a script recognizes the next word of a path: the path so far, a space, the word. */
const stepOf = (path: string) => (path.includes(' ') ? path : ` ${path}`);

function bashScript(levels: readonly Level[]): string {
  const steps = levels.filter(({ path }) => path !== '').map(({ path }) => quote(stepOf(path)));
  const cases = levels.map(
    ({ path, words }) => `    ${quote(path)}) words=${quote(words.map(({ word }) => word).join(' '))} ;;`,
  );
  const values = levels.flatMap(({ path, values: all }) =>
    all.map(({ flag, values: each }) => `    ${quote(`${path} ${flag}`)}) words=${quote(each.join(' '))} ;;`),
  );
  return [
    '_ngbak() {',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: shell syntax
    "  local path='' word words before=${COMP_WORDS[COMP_CWORD-1]}",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: shell syntax
    '  for word in "${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do',
    '    case "$path $word" in',
    `      ${steps.join('|')}) path="\${path:+$path }$word" ;;`,
    '    esac',
    '  done',
    '  case "$path" in',
    ...cases,
    '  esac',
    '  case "$path $before" in',
    ...values,
    '  esac',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: shell syntax
    '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
    '}',
    'complete -o default -F _ngbak ngbak',
    '',
  ].join('\n');
}

function fishScript(levels: readonly Level[]): string {
  const steps = levels.filter(({ path }) => path !== '').map(({ path }) => quote(stepOf(path)));
  const lines = levels.flatMap(({ path, words, values }) => {
    const at = `complete -c ngbak -n ${quote(`test (__ngbak_path) = ${quote(`/${path}`)}`)}`;
    return words.map(({ word, about }) => {
      const description = about === '' ? '' : ` -d ${quote(about)}`;
      if (!word.startsWith('--')) return `${at} -f -a ${word}${description}`;
      const choices = values.find(({ flag }) => flag === word)?.values;
      return `${at} -l ${word.slice(2)}${choices ? ` -x -a ${quote(choices.join(' '))}` : ''}${description}`;
    });
  });
  return [
    'function __ngbak_path',
    "  set -l path ''",
    '  for word in (commandline -opc)[2..-1]',
    '    switch "$path $word"',
    `      case ${steps.join(' ')}`,
    '        set path (string trim -- "$path $word")',
    '    end',
    '  end',
    '  echo "/$path"',
    'end',
    ...lines,
    '',
  ].join('\n');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
