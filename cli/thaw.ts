import { setTimeout as delay } from 'node:timers/promises';
import { InvalidInputError } from '../shared/core/errors.ts';
import { parseInput } from '../shared/core/input.ts';
import { THAW_DAYS, THAW_TIERS, ThawRequest } from '../shared/core/storage-class.ts';
import type { Thawing } from '../shared/operations/thaw-backup.ts';
import type { Cli } from './cli.ts';
import type { CliClient } from './client.ts';
import { localTime } from './format.ts';
import { interruptible } from './interrupted.ts';

/** `--thaw`, of commands that read archives. */
export const THAW = [
  '--thaw [tier]',
  `if the archive is in cold storage: thaw it first, and wait. S3 bills this. Tiers: ${THAW_TIERS.join(', ')} (default: standard)`,
] as const;
/** `--thaw-days`, which belongs to it. */
export const THAW_DAYS_OPTION = [
  '--thaw-days <number>',
  `days for which the thawed copy is kept (default: ${THAW_DAYS})`,
] as const;

export interface ThawFlags {
  readonly thaw?: string | true;
  readonly thawDays?: number;
}

/** The request of the options `--thaw` and `--thaw-days`. Undefined without them. */
export function thawOf({ thaw, thawDays }: ThawFlags): ThawRequest | undefined {
  if (thaw === undefined && thawDays !== undefined) {
    throw new InvalidInputError('--thaw-days needs --thaw.', { remedy: 'Add --thaw, or leave it out.' });
  }
  if (thaw === undefined) return undefined;
  return parseInput(
    ThawRequest,
    { ...(thaw === true ? {} : { tier: thaw }), ...(thawDays === undefined ? {} : { days: thawDays }) },
    'The options for thawing',
  );
}

/** First and longest interval between two looks at an archive, in milliseconds. */
const LOOK_MS = { first: 1000, longest: 5 * 60_000 };

/** Requests that backups be thawed, if they are in cold storage, and waits until they can be read. */
export async function thawFirst(
  cli: Cli,
  client: CliClient,
  ids: readonly string[],
  request: ThawRequest | undefined,
  copy?: string,
): Promise<void> {
  if (request === undefined) return;
  const input = { ...request, ...(copy === undefined ? {} : { copy }) };
  // All are requested before the first one is waited for.
  for (const id of ids) await client.thawBackup(id, input);
  for (const id of ids) await untilThawed(cli, client, id, input);
}

/** Requests that a backup be thawed and waits until it can be read. Ctrl-C stops waiting; S3 continues. */
export async function untilThawed(
  cli: Cli,
  client: CliClient,
  id: string,
  request: ThawRequest & { readonly copy?: string },
): Promise<Thawing> {
  return interruptible((signal) => waitForThaw(cli, () => client.thawBackup(id, request), signal));
}

/** Repeats a request to thaw an archive until the archive can be read. */
export async function waitForThaw<T extends Waiting>(
  cli: Pick<Cli, 'output'>,
  request: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  let wait = LOOK_MS.first;
  let said = false;
  for (;;) {
    const found = await request();
    cli.output.event('thaw', found);
    if (found.readable) {
      if (said) cli.output.note(`The archive of ${nameOf(found)} can be read.`);
      return found;
    }
    if (!said) cli.output.note(`${waitText(found)} Ctrl-C stops waiting; S3 continues.`);
    said = true;
    await delay(wait, undefined, { signal });
    wait = Math.min(wait * 2, LOOK_MS.longest);
  }
}

/** What is stated while an archive is waited for. */
export type Waiting = Pick<Thawing, 'backup_id' | 'copy' | 'storage_class' | 'expected_by' | 'readable'>;

function nameOf({ backup_id, copy }: Waiting): string {
  return copy === undefined ? backup_id : `${backup_id}, copy ${copy},`;
}

/** What is waited for: `Waiting for the archive of … to be thawed from GLACIER, expected by ….` */
export function waitText(waiting: Waiting): string {
  const { storage_class, expected_by } = waiting;
  const due = expected_by === undefined ? '' : `, expected by ${localTime(expected_by)}`;
  return `Waiting for the archive of ${nameOf(waiting)} to be thawed from ${storage_class}${due}.`;
}
