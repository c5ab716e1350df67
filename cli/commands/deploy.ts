import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import pc from 'picocolors';
import { z } from 'zod';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { parseJson } from '../../shared/core/input.ts';
import { type Cli, cliOf } from '../cli.ts';
import { CDK_FILE, openConfiguration } from '../configuration-file.ts';
import { ExitError, PassedOnError } from '../exit-codes.ts';
import { fields, table } from '../output.ts';
import { confirm } from '../prompt.ts';
import { requireCheckout, runProgram } from '../run-program.ts';

/** The format of `cdk deploy --outputs-file`: outputs by stack. */
const Outputs = z.record(z.string(), z.record(z.string(), z.string()));

interface DeployFlags {
  readonly config?: string;
  readonly context: string[];
  readonly bootstrap?: boolean;
  readonly diff?: boolean;
  readonly check?: boolean;
  readonly connections?: true | string;
  readonly files?: string;
}

/** `ngbak deploy` */
export function deployCommand(program: Command): void {
  program
    .command('deploy')
    .summary('deploy ngbak to your AWS account')
    .description(
      'Deploys or updates the stack with the AWS CDK and prints its outputs. Its settings are read from "ngbak" in cdk.json or from a separate file. Changes of permissions need your approval, unless --yes is given.',
    )
    .option('--config <file>', 'JSON file to use in place of "ngbak" in cdk.json')
    .option(
      '-c, --context <key=value>',
      'CDK context; repeatable',
      (text: string, before: string[]) => [...before, text],
      [],
    )
    .option('--bootstrap', 'bootstrap account and region for the CDK first')
    .option('--diff', 'only show what would change')
    .option(
      '--connections [target]',
      'afterwards, put the connections that NEO4J_URI, QDRANT_URL, REDIS_URL and POSTGRES_URL name into the secrets of a target (default: "default")',
    )
    .option('--files <location>', 'with --connections: where key-value data in files is')
    .option('--check', 'only check account, region, configuration and connections; changes nothing')
    .action(async (flags: DeployFlags, command: Command) => {
      requireCheckout('infra');
      const cli = cliOf(command);
      if (flags.check) return check(cli, flags);
      const context = await contextOf(flags);
      if (flags.bootstrap) await cdk('bootstrap', context);
      if (flags.diff) return cdk('diff', context);
      await deploy(cli, context);
      if (flags.connections !== undefined) await connect(cli, flags);
    });
}

/** Prints the checklist; throws if a problem would prevent the deployment from working. */
async function check(cli: Cli, { config }: DeployFlags): Promise<void> {
  const { checkDeployment } = await import('../deploy-check.ts');
  const checks = await checkDeployment(config ?? CDK_FILE);
  const ok = checks.every(({ state }) => state !== 'failed');
  const marks = { ok: pc.green('✓'), warning: pc.yellow('!'), failed: pc.red('✗') };
  cli.output.result('deploy-check', { ok, checks }, () =>
    checks.map(({ name, state, message }) => `${marks[state]} ${name}: ${message}`).join('\n'),
  );
  if (!ok) throw new ExitError('failed');
}

async function deploy(cli: Cli, context: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-deploy-'));
  try {
    const file = join(folder, 'outputs.json');
    const approval = cli.yes ? ['--require-approval', 'never'] : [];
    await cdk('deploy', [...context, ...approval, '--outputs-file', file]);
    const stacks = parseJson(Outputs, await readFile(file, 'utf8'), 'The outputs of the CDK');
    for (const [stack, outputs] of Object.entries(stacks)) {
      cli.output.result('deployed', { stack, outputs }, () => fields(Object.entries({ stack, ...outputs })));
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Fills the secrets of a target, and prints which of them have a connection now. */
async function connect(cli: Cli, { config, connections, files }: DeployFlags): Promise<void> {
  const [{ readConfiguration }, { fillConnections }, { namedStores }] = await Promise.all([
    import('../deploy-check.ts'),
    import('../fill-connections.ts'),
    import('../known-stores.ts'),
  ]);
  const target = typeof connections === 'string' ? connections : 'default';
  const deployment = await readConfiguration((await openConfiguration(config ?? CDK_FILE)).ngbak);
  const secrets = await fillConnections(deployment, target, namedStores(process.env, files), (secret) =>
    confirm(cli, `${secret} holds another connection. Replace it?`),
  );
  for (const { store, secret, state } of secrets) {
    if (state === 'missing')
      cli.output.warn(`${secret} is not filled in: the environment has no address of the ${store} store.`);
  }
  cli.output.result('connections', { target, secrets }, () =>
    table(
      ['store', 'secret', 'connection'],
      secrets.map(({ store, secret, state }) => [store, secret, state]),
    ),
  );
}

/** Output of the CDK is sent to stderr: stdout has the results only. */
async function cdk(what: string, args: readonly string[]): Promise<void> {
  const code = await runProgram('cdk', [what, ...args, '--no-notices'], { quietly: true });
  if (code !== 0) throw new PassedOnError(code);
}

/** The context as arguments of the CDK. The CDK app itself validates the values. */
async function contextOf({ config, context }: DeployFlags): Promise<string[]> {
  const pairs = [...context];
  if (config !== undefined) {
    pairs.push(`ngbak=${JSON.stringify((await openConfiguration(config)).ngbak)}`);
  }
  const wrong = pairs.find((pair) => !/^[^=]+=/.test(pair));
  if (wrong !== undefined) {
    throw new InvalidInputError('A --context has no "=".', { remedy: 'Write it as --context key=value.' });
  }
  return pairs.flatMap((pair) => ['--context', pair]);
}
