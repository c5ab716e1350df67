import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { parseJson } from '../shared/input.ts';
import { LocalStackError } from './errors.ts';
import { ROOT } from './folders.ts';
import { runProcess, STACK_MARK } from './processes.ts';
import type { AwsAddress } from './services/service.ts';

/** Longest that one call of the CDK CLI may take, in milliseconds: a deployment that hangs never ends by itself. */
const CDK_TIMEOUT_MS = 5 * 60_000;

export interface DeployOptions {
  /** The name of the CloudFormation stack. */
  readonly stackName: string;
  /** CDK context: each value is given to the app as text, objects as JSON. */
  readonly context?: Readonly<Record<string, unknown>>;
  /** The local stack's folder: assembly and outputs are written there, and the CLI's output to `logs/deploy.log`. */
  readonly folder: string;
  readonly signal?: AbortSignal;
  /** Called with `synthesizing` and `deploying`. */
  readonly onProgress?: (text: string) => void;
}

const Outputs = z.record(z.string(), z.record(z.string(), z.string()));

/**
 * Deploys the CDK app into the emulator by the real, pinned CDK CLI, bootstrap included, and gives back the outputs of
 * the stack. Again and again with the same name updates it. Throws LocalStackError with the end of the log.
 */
export async function deployStack(aws: AwsAddress, options: DeployOptions): Promise<Record<string, string>> {
  const { stackName, folder, signal = new AbortController().signal } = options;
  const logs = join(folder, 'logs');
  await mkdir(logs, { recursive: true });
  const binaries = join(ROOT, 'node_modules/.bin');
  const cdk = (log: string, ...args: string[]) =>
    runProcess(join(binaries, 'cdk'), [...args, '--no-notices', '--no-version-reporting', '--ci', 'true'], {
      cwd: ROOT,
      env: {
        ...process.env,
        ...aws.env,
        PATH: `${binaries}:${process.env.PATH ?? ''}`,
        // Whatever the CLI starts ends with the stack, also when we can't see to it.
        [STACK_MARK]: folder,
      },
      log: join(logs, log),
      signal,
      timeoutMs: CDK_TIMEOUT_MS,
      remedy: `Read ${join(logs, log)} and, for what the emulator did, aws.log beside it.`,
    });

  const assembly = join(folder, 'cdk.out', stackName);
  const context = Object.entries(options.context ?? {}).flatMap(([key, value]) => [
    '--context',
    `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ]);
  options.onProgress?.('synthesizing');
  // At the same time: neither needs the other. Both end before the first failure is told.
  const [bootstrap, synth] = await Promise.allSettled([
    cdk('bootstrap.log', 'bootstrap', `aws://${aws.accountId}/${aws.region}`),
    cdk('deploy.log', 'synth', '--quiet', '--output', assembly, ...context),
  ]);
  for (const outcome of [synth, bootstrap]) if (outcome.status === 'rejected') throw outcome.reason;

  options.onProgress?.('deploying');
  const outputs = join(folder, `outputs-${stackName}.json`);
  await cdk(
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
      `The deployment of ${stackName} gave outputs of ${Object.keys(all).join(', ')} only.`,
      {
        remedy: 'Give the name that the app gives its stack.',
      },
    );
  }
  return own;
}
