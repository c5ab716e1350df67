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

/** The script for a shell, made of the program's own commands and options. */
export function completionScript(program: Command, shell: 'bash' | 'zsh' | 'fish'): string {
  const commands = program.commands.map((command) => ({
    name: command.name(),
    summary: command.summary() || command.description(),
    words: [...command.commands.map((inner) => inner.name()), ...flagsOf(command), ...flagsOf(program)],
  }));
  if (shell === 'fish') {
    return commands
      .flatMap(({ name, summary, words }) => [
        `complete -c ngbak -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`,
        ...words.map((word) =>
          word.startsWith('--')
            ? `complete -c ngbak -n '__fish_seen_subcommand_from ${name}' -l ${word.slice(2)}`
            : `complete -c ngbak -n '__fish_seen_subcommand_from ${name}' -a ${word}`,
        ),
      ])
      .concat('')
      .join('\n');
  }
  const cases = commands.map(({ name, words }) => `    ${name}) words=${quote(words.join(' '))} ;;`);
  const bash = [
    '_ngbak() {',
    '  local words',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the shell's
    '  case "${COMP_WORDS[1]}" in',
    ...cases,
    '    *) words="" ;;',
    '  esac',
    `  [ "$COMP_CWORD" -eq 1 ] && words=${quote(commands.map(({ name }) => name).join(' '))}`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the shell's
    '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
    '}',
    'complete -o default -F _ngbak ngbak',
    '',
  ].join('\n');
  return shell === 'bash' ? bash : `autoload -U +X bashcompinit && bashcompinit\n${bash}`;
}

function flagsOf(command: Command): string[] {
  return command.options.flatMap(({ long }) => (long ? [long] : []));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
