import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { InvalidInputError } from '../shared/core/errors.ts';
import { parseInput, parseJson } from '../shared/core/input.ts';
import { downloadFolder } from './data-folder.ts';

/** The deployment and the preferences of the user. Read from file, environment and flags, in that order. */
export const Settings = z.strictObject({
  /** Name of the archive bucket, with the prefix of the deployment if it has one: `name/prefix`. */
  bucket: z.string().min(3).optional(),
  /** ARNs of the two workflows. */
  backup_state_machine_arn: z.string().startsWith('arn:').optional(),
  restore_state_machine_arn: z.string().startsWith('arn:').optional(),
  /** Group of EventBridge Scheduler with the schedules, and ARN of the role that they start backups with. */
  schedule_group: z.string().min(1).optional(),
  schedule_role_arn: z.string().startsWith('arn:').optional(),
  /** CloudFormation stack whose outputs provide all of the above, if they are not set. */
  stack: z.string().min(1).default('Ngbak'),
  /** Address of the HTTP API, and a key for it. */
  api_url: z.url({ protocol: /^https?$/ }).optional(),
  api_key: z.string().min(1).optional(),
  /** True: AWS credentials are used even if `api_url` is set. */
  direct: z.boolean().default(false),
  /** Folder for downloads, in which `list --local` and `restore` search. */
  download_folder: z
    .string()
    .min(1)
    .default(() => downloadFolder()),
});
export type Settings = z.infer<typeof Settings>;

/** Sources of each setting: `[key, environment variable]`. */
export const ENVIRONMENT = {
  bucket: 'NGBAK_BUCKET',
  backup_state_machine_arn: 'NGBAK_BACKUP_STATE_MACHINE_ARN',
  restore_state_machine_arn: 'NGBAK_RESTORE_STATE_MACHINE_ARN',
  schedule_group: 'NGBAK_SCHEDULE_GROUP',
  schedule_role_arn: 'NGBAK_SCHEDULE_ROLE_ARN',
  stack: 'NGBAK_STACK',
  api_url: 'NGBAK_API_URL',
  api_key: 'NGBAK_API_KEY',
  download_folder: 'NGBAK_DOWNLOAD_FOLDER',
} as const satisfies Partial<Record<keyof Settings, string>>;

/** `~/.config/ngbak/config.json`, unless `XDG_CONFIG_HOME` or `NGBAK_CONFIG_FILE` is set. */
export function settingsFile(environment: NodeJS.ProcessEnv = process.env): string {
  return (
    environment.NGBAK_CONFIG_FILE ??
    join(environment.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'ngbak', 'config.json')
  );
}

/**
 * Merges the settings: the environment overrides the file, and flags override the environment. A missing file is
 * treated as empty. Throws InvalidInputError, which never repeats a value.
 */
export async function readSettings(
  flags: Partial<z.input<typeof Settings>>,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Settings> {
  const path = settingsFile(environment);
  const fromFile = await readSettingsFile(path, environment.NGBAK_CONFIG_FILE !== undefined);
  const fromEnvironment = Object.fromEntries(
    Object.entries(ENVIRONMENT).flatMap(([key, name]) => {
      const value = environment[name];
      return value === undefined || value === '' ? [] : [[key, value]];
    }),
  );
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  return parseInput(
    Settings,
    { ...fromFile, ...fromEnvironment, ...given },
    `The configuration (${path}, NGBAK_… in the environment, flags)`,
    'See docs/cli.md for the settings.',
  );
}

async function readSettingsFile(
  path: string,
  mustExist: boolean,
): Promise<Partial<z.input<typeof Settings>>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (!mustExist && cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return {};
    throw new InvalidInputError(`The configuration file ${path} cannot be read.`, {
      remedy: 'Create it, make it readable, or correct NGBAK_CONFIG_FILE.',
      cause,
    });
  }
  return parseJson(
    Settings.partial(),
    text,
    `The configuration file ${path}`,
    'See docs/cli.md for an example.',
  );
}
