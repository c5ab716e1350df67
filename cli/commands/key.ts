import { Argument, type Command } from 'commander';
import { newApiKey, ROLES, type Role } from '../../shared/api/access.ts';
import { Id } from '../../shared/ids.ts';
import { parseInput } from '../../shared/input.ts';
import { cliOf } from '../cli.ts';

/** `ngbak key` */
export function keyCommand(program: Command): void {
  program
    .command('key')
    .summary('create a key for the HTTP API')
    .description(
      'Creates a key for the HTTP API and prints it once, together with the entry that an administrator adds to the list "keys" in the secret of the API. The secret contains only the hash of the key. docs/api.md shows how to rotate keys.',
    )
    .argument('<name>', 'name of its owner')
    .addArgument(new Argument('<role>', 'role of the key').choices(ROLES))
    .action((name: string, role: Role, _options, command: Command) => {
      const cli = cliOf(command);
      const made = newApiKey(parseInput(Id, name, 'The name'), role);
      cli.output.result('key', made, () => `${made.key}\n${JSON.stringify(made.entry)}`);
    });
}
