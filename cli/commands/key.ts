import { Argument, type Command } from 'commander';
import { newApiKey, ROLES, type Role } from '../../shared/api/access.ts';
import { Id } from '../../shared/ids.ts';
import { parseInput } from '../../shared/input.ts';
import { cliOf } from '../cli.ts';

/** `ngbak key` */
export function keyCommand(program: Command): void {
  program
    .command('key')
    .summary('make a key for the HTTP API')
    .description(
      'Makes a key for the HTTP API and prints it, this once, with the entry that an administrator adds to the list "keys" in the secret of the API. The secret keeps only its hash. docs/api.md shows how to rotate keys.',
    )
    .argument('<name>', 'whose it is')
    .addArgument(new Argument('<role>', 'what it may do').choices(ROLES))
    .action((name: string, role: Role, _options, command: Command) => {
      const cli = cliOf(command);
      const made = newApiKey(parseInput(Id, name, 'The name'), role);
      cli.output.result('key', made, () => `${made.key}\n${JSON.stringify(made.entry)}`);
    });
}
