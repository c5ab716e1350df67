import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseJson } from '../shared/core/input.ts';
import { LocalStackError } from './errors.ts';
import { ROOT } from './folders.ts';
import { runProcess, STACK_MARK } from './processes.ts';
import type { AwsAddress } from './services/service.ts';

/** Timeout of one call of the CDK CLI, in milliseconds: a deployment that hangs never ends by itself. */
const CDK_TIMEOUT_MS = 5 * 60_000;

export interface DeployOptions {
  /** The name of the CloudFormation stack. */
  readonly stackName: string;
  /** CDK context: values are passed to the app as text, objects as JSON. */
  readonly context?: Readonly<Record<string, unknown>>;
  /** The local stack's folder: assembly and outputs are written there, and the CLI's output to `logs/deploy.log`. */
  readonly folder: string;
  /** A cloud assembly from {@link synthesize} to deploy. By default, one is synthesized. */
  readonly assembly?: string | undefined;
  readonly signal?: AbortSignal;
  /** Called with `synthesizing` and `deploying`. */
  readonly onProgress?: (text: string) => void;
}

const Outputs = z.record(z.string(), z.record(z.string(), z.string()));

/** Runs the pinned CDK CLI, with its output in this file in the folder's logs. */
async function cdk(
  aws: Pick<AwsAddress, 'env'>,
  {
    folder,
    signal = new AbortController().signal,
    cwd = ROOT,
  }: Pick<DeployOptions, 'folder' | 'signal'> & { cwd?: string },
  log: string,
  ...args: string[]
): Promise<void> {
  const binaries = join(ROOT, 'node_modules/.bin');
  const logs = join(folder, 'logs');
  await mkdir(logs, { recursive: true });
  await runProcess(
    join(binaries, 'cdk'),
    [...args, '--no-notices', '--no-version-reporting', '--ci', 'true'],
    {
      cwd,
      env: {
        ...process.env,
        ...aws.env,
        PATH: `${binaries}:${process.env.PATH ?? ''}`,
        // aws-cdk-lib keeps fingerprints of assets in HOME, whatever CDK_HOME is: they belong to the local stack.
        HOME: join(folder, 'home'),
        // The CDK's own validation takes ten times as long as everything else, and `npm run synth` runs it.
        CDK_VALIDATION: 'false',
        // Marks the CLI's child processes, so that they end with the stack even if this process is killed.
        [STACK_MARK]: folder,
      },
      log: join(logs, log),
      signal,
      timeoutMs: CDK_TIMEOUT_MS,
      remedy: `Read ${join(logs, log)} and, for the emulator, aws.log next to it.`,
    },
  );
}

/** Synthesizes the CDK app into a folder. Throws LocalStackError with the end of the log. */
export async function synthesize(
  aws: Pick<AwsAddress, 'env'>,
  assembly: string,
  options: Pick<DeployOptions, 'context' | 'folder' | 'signal'>,
): Promise<void> {
  const context = Object.entries(options.context ?? {}).flatMap(([key, value]) => [
    '--context',
    `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ]);
  await cdk(aws, options, 'synth.log', 'synth', '--quiet', '--output', assembly, ...context);
}

/**
 * Deploys the CDK app into the emulator with the real, pinned CDK CLI, including the bootstrap, and returns the
 * outputs of the stack. A repeated call with the same name updates the stack. Throws LocalStackError with the end of
 * the log.
 */
export async function deployStack(aws: AwsAddress, options: DeployOptions): Promise<Record<string, string>> {
  const { stackName, folder } = options;
  const assembly = options.assembly ?? join(folder, 'cdk.out', stackName);
  if (options.assembly === undefined) options.onProgress?.('synthesizing');
  // In parallel, since they are independent; both end before a failure is reported. The bootstrap runs outside of the
  // checkout: next to a cdk.json, the CLI would synthesize the app for it, and lock cdk.out.
  const [bootstrap, synth] = await Promise.allSettled([
    cdk(
      aws,
      { ...options, cwd: folder },
      'bootstrap.log',
      'bootstrap',
      `aws://${aws.accountId}/${aws.region}`,
    ),
    options.assembly === undefined ? synthesize(aws, assembly, options) : Promise.resolve(),
  ]);
  for (const outcome of [synth, bootstrap]) if (outcome.status === 'rejected') throw outcome.reason;

  options.onProgress?.('deploying');
  const outputs = join(folder, `outputs-${stackName}.json`);
  await cdk(
    aws,
    options,
    'deploy.log',
    'deploy',
    stackName,
    '--app',
    assembly,
    '--require-approval=never',
    '--progress=events',
    '--outputs-file',
    outputs,
  );
  const all = parseJson(Outputs, await readFile(outputs, 'utf8'), 'The outputs of the CDK CLI');
  const own = all[stackName];
  if (!own) {
    throw new LocalStackError(
      `The deployment of ${stackName} returned outputs of ${Object.keys(all).join(', ')} only.`,
      { remedy: 'Use the stack name that the app uses.' },
    );
  }
  return own;
}
