import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Command } from 'commander';
import { explainAwsError } from '../../shared/aws/aws-error.ts';
import pc from '../../shared/core/colors.ts';
import { NgbakError } from '../../shared/core/errors.ts';
import { NotFoundError } from '../../shared/core/refusals.ts';
import { type Cli, cliOf } from '../cli.ts';
import type { CliClient } from '../client.ts';
import { CDK_FILE, openConfiguration } from '../configuration-file.ts';
import { ExitError } from '../exit-codes.ts';
import { bytes, count, printable } from '../format.ts';
import { describeStore, namedStores, openStore, proposalText, proposeByNames } from '../known-stores.ts';
import { listLocal } from '../local-archives.ts';
import { table } from '../output.ts';
import { confirm } from '../prompt.ts';
import { requireCheckout } from '../run-program.ts';
import { settingsFile } from '../settings.ts';
import { coverageOf, hiddenFromFunctions, parseParameter, targetFor, withTarget } from '../write-target.ts';

/** Clock offset that causes a warning, in milliseconds: AWS refuses signatures from an offset of 5 minutes. */
const CLOCK_OFF_MAX_MS = 60_000;

interface DoctorCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly message: string;
  /** Needs attention, although nothing fails because of it. */
  readonly warning?: true;
}

interface DoctorFlags {
  readonly stores?: true;
  readonly files?: string;
  readonly write?: true | string;
  readonly target: string;
  readonly profile?: string;
  readonly parameter: readonly string[];
}

/** `ngbak doctor` */
export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .summary('check configuration, permissions and services')
    .description(
      'Checks configuration, download folder, credentials, permissions, bucket, workflows, clock and the age of the newest backup, and suggests remedies.',
    )
    .option(
      '--stores',
      'also check the stores that NEO4J_URI, QDRANT_URL, REDIS_URL and POSTGRES_URL name (reachable, version, contents) and suggest a profile',
    )
    .option(
      '--files <location>',
      'also check key-value data in files: a folder or s3://bucket/prefix; kv_files=… if it is a further store beside another',
    )
    .option(
      '--write [file]',
      'instead of checking a deployment, write the target of these stores into "ngbak" of cdk.json, or of another file',
    )
    .option('--target <name>', 'with --write: the name of the target', 'default')
    .option('--profile <name>', 'with --write: another profile than the suggested one')
    .option(
      '--parameter <name=value>',
      'with --write: a parameter of the profile; repeatable',
      (text: string, before: string[]) => [...before, text],
      [],
    )
    .action(async (flags: DoctorFlags, command: Command) => {
      const { stores, files } = flags;
      const cli = cliOf(command);
      if (flags.write !== undefined) return writeTarget(cli, flags);
      const findings = await examine(cli);
      if (stores || files !== undefined) {
        const named = namedStores(process.env, files);
        const checks = named.map((store) =>
          runCheck(`${store.adapter.name} store`, () => describeStore(openStore(store))),
        );
        findings.push(
          ...(await Promise.all(checks)),
          await runCheck('profile', async () => proposalText(await proposeByNames(named))),
        );
      }
      const ok = findings.every((finding) => finding.ok);
      cli.output.result('doctor', { ok, findings }, () =>
        findings
          .map((finding) => {
            const mark = finding.warning ? pc.yellow('!') : finding.ok ? pc.green('✓') : pc.red('✗');
            return `${mark} ${finding.name}: ${printable(finding.message)}`;
          })
          .join('\n'),
      );
      if (!ok) throw new ExitError('failed');
    });
}

/** Writes the target of the named stores into the configuration, after what it saves of each was counted. */
async function writeTarget(
  cli: Cli,
  { write, files, target, profile, parameter }: DoctorFlags,
): Promise<void> {
  requireCheckout('infra');
  const stores = namedStores(process.env, files);
  const proposal = await proposeByNames(stores);
  const settings = targetFor(stores, proposal, {
    profile,
    parameters: Object.fromEntries(parameter.map(parseParameter)),
  });
  const covered = await coverageOf(settings, stores);
  const file = typeof write === 'string' ? write : CDK_FILE;
  const configuration = await openConfiguration(file, { isNew: true });
  const { before, after } = withTarget(configuration.ngbak, target, settings);
  const { readConfiguration } = await import('../deploy-check.ts');
  const deployment = await readConfiguration(after);
  const isNew = before === undefined;
  if (!isNew && !isDeepStrictEqual(before, settings)) {
    const question = `${file} has a target "${target}": ${JSON.stringify(before)}. Replace it?`;
    if (!(await confirm(cli, question))) throw new ExitError('failed');
  }
  await configuration.write(after);
  const unreachable = stores.flatMap((store) => hiddenFromFunctions(store, deployment.network !== undefined));
  for (const text of unreachable) cli.output.warn(text);
  const option = file === CDK_FILE ? '' : ` --config ${file}`;
  const next = [
    `ngbak deploy${option} --connections${target === 'default' ? '' : ` ${target}`}${files === undefined ? '' : ` --files ${files}`}`,
    `ngbak backup --wait${target === 'default' ? '' : ` --target ${target}`}`,
  ];
  cli.output.result('target-written', { file, target, settings, covered, warnings: unreachable, next }, () =>
    [
      `Target "${target}" is written to ${file}: profile "${settings.profile}", because of ${proposal.reasons.join('; ')}.`,
      ...(settings.parameters ? [`Parameters: ${JSON.stringify(settings.parameters)}`] : []),
      table(
        ['store', 'kind', 'saved', 'on the server'],
        covered.map(({ store, kind, saved, all }) => [store, kind, countsText(saved), countsText(all)]),
      ),
      'Next:',
      ...next.map((line) => `  ${line}`),
    ].join('\n'),
  );
}

function countsText(counts: Readonly<Record<string, number>>): string {
  return (
    Object.entries(counts)
      .map(([name, value]) => `${name} ${count(value)}`)
      .join(', ') || 'empty'
  );
}

async function examine(cli: Cli): Promise<DoctorCheck[]> {
  const configuration = await runCheck(`configuration (${settingsFile()}, NGBAK_…)`, async () => {
    await cli.settings();
    return 'can be read';
  });
  if (!configuration.ok) return [configuration];
  const folder = await runCheck('download folder', async () =>
    describeFolder((await cli.settings()).download_folder),
  );
  const reached = await runCheck('access', async () => (await cli.client()).where);
  if (!reached.ok) return [configuration, folder, reached];
  const client = await cli.client();
  const [permissions, health, receivers, clock] = await Promise.all([
    runCheck('permissions', () => client.permissions()),
    client.health().then(
      ({ checks }) => checks,
      (error) => [{ name: 'health', ok: false, message: explain(error) }],
    ),
    receiversCheck(client),
    runCheck('clock', () => describeClock(client.clockOffsetMs)),
  ]);
  return [configuration, folder, reached, permissions, ...health, ...receivers, clock];
}

/** The receivers of notifications. Deployments of earlier versions have none. */
async function receiversCheck(client: CliClient): Promise<DoctorCheck[]> {
  const name = 'notifications';
  try {
    const { receivers, warning } = await client.showNotifications();
    if (warning) return [{ name, ok: true, warning: true, message: `${warning.text} ${warning.remedy}` }];
    return [{ name, ok: true, message: `${receivers.length} receivers; test them with: ngbak notify test` }];
  } catch (error) {
    return error instanceof NotFoundError ? [] : [{ name, ok: false, message: explain(error) }];
  }
}

/** The download folder, its number of archives, and its free space. */
async function describeFolder(folder: string): Promise<string> {
  const archives = await listLocal(folder);
  const existing = await nearestExisting(folder);
  await access(existing, constants.W_OK).catch((cause) => {
    throw new NgbakError(`${existing} is not writable.`, {
      remedy: 'Correct its permissions, or choose another folder: download_folder, NGBAK_DOWNLOAD_FOLDER.',
      cause,
    });
  });
  const { bavail, bsize } = await statfs(existing);
  const size = archives.reduce((sum, archive) => sum + archive.bytes, 0);
  const verified = archives.filter(({ verified_at }) => verified_at !== undefined).length;
  const contents =
    archives.length === 0
      ? 'no archives'
      : `${count(archives.length)} archives (${count(verified)} verified), ${bytes(size)}`;
  return `${folder}: ${contents}; ${bytes(bavail * bsize)} free`;
}

/** The folder itself, or its closest existing parent: downloads create the rest. */
async function nearestExisting(folder: string): Promise<string> {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = await stat(at).catch((error) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (found?.isDirectory()) return at;
    if (found) {
      throw new NgbakError(`${at} is not a folder.`, {
        remedy: 'Choose another one: download_folder, NGBAK_DOWNLOAD_FOLDER.',
      });
    }
  }
}

async function describeClock(offset: () => Promise<number>): Promise<string> {
  const off = await offset();
  if (Math.abs(off) <= CLOCK_OFF_MAX_MS) return 'right';
  throw new Error(
    `It is ${Math.round(off / 1000)} seconds off. Set it; otherwise AWS rejects signed requests.`,
  );
}

async function runCheck(name: string, look: () => Promise<string>): Promise<DoctorCheck> {
  try {
    return { name, ok: true, message: await look() };
  } catch (error) {
    return { name, ok: false, message: explain(error) };
  }
}

function explain(error: unknown): string {
  const explained = explainAwsError(error);
  if (explained instanceof NgbakError) return `${explained.message} ${explained.remedy}`;
  return explained instanceof Error ? explained.message : String(explained);
}
