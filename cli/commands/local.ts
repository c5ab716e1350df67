import type { Command } from 'commander';
import { cliOf } from '../cli.ts';
import { PassedOnError } from '../exit-codes.ts';
import { requireCheckout, runScript } from '../run-program.ts';

/** Names and descriptions of the options of the local stack; the programs themselves validate the values. */
const NAME = ['--name <name>', 'name of the local stack'] as const;

/** `ngbak local up|down|status|demo`: the programs behind `npm run local:up` and similar scripts. */
export function localCommand(program: Command): void {
  const local = program
    .command('local')
    .summary('run the local stack')
    .description(
      'Starts, shows and stops real servers on this machine together with an AWS emulator, and runs the demo. Nothing reaches AWS.',
    );
  local
    .command('up')
    .summary('start the servers')
    .description(
      'Starts Neo4j, Qdrant, Redis and the AWS emulator, and prints the environment variables to use them.',
    )
    .option(...NAME)
    .option('--only <services>', 'only these services: neo4j, qdrant, redis, postgres, aws')
    .option('--with <services>', 'these services as well: postgres')
    .action((options: Options, command: Command) => run(command, 'local/commands.ts', ['up'], options));
  local
    .command('down')
    .summary('stop the servers')
    .description(
      'Stops a local stack and removes its files; without a name, all stacks that were kept running.',
    )
    .option(...NAME)
    .action((options: Options, command: Command) => run(command, 'local/commands.ts', ['down'], options));
  local
    .command('status')
    .summary('show the servers')
    .description('Shows the servers of every local stack with health and memory.')
    .option(...NAME)
    .action((options: Options, command: Command) => run(command, 'local/commands.ts', ['status'], options));
  local
    .command('demo')
    .summary('back up, destroy and restore a knowledge base')
    .description(
      'Builds a knowledge base in real servers, backs it up, destroys it, restores it, and verifies that everything is restored.',
    )
    .option(...NAME)
    .option('--system <system>', 'the system that stores it: ngraf-023, lightrag-pg, ms-graphrag')
    .option('--scale <count>', 'number of copies of the knowledge base')
    .option('--keep', 'keep the servers running')
    .action((options: Options, command: Command) => run(command, 'local/demo/main.ts', [], options));
}

type Options = Readonly<Record<string, string | boolean>>;

async function run(
  command: Command,
  script: string,
  args: readonly string[],
  options: Options,
): Promise<void> {
  requireCheckout('local', 'infra');
  const given = Object.entries(options).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
  const takesJson = !args.includes('down');
  const json = cliOf(command).output.json && takesJson ? ['--json'] : [];
  const code = await runScript(script, [...args, ...given, ...json]);
  if (code !== 0) throw new PassedOnError(code);
}
