import { bytes, count, duration } from '../core/format.ts';
import type { GRADE_NAMES } from '../core/grade.ts';
import type { NotifyEvent, Severity } from './event.ts';
import { withoutAddresses } from './without-addresses.ts';

/** Limit of SNS for the subject of an e-mail, which must be ASCII. */
const SUBJECT_MAX = 100;
/** Longest quoted text, such as the message of an error, in characters. */
const QUOTE_MAX = 600;
/** Reasons of the verdict that a message states. */
const REASONS_MAX = 3;

/** Whether a target is recoverable, as the message states it: from shared/operations/recoverability.ts. */
export interface Verdict {
  readonly recoverable: (typeof GRADE_NAMES)[number];
  readonly reasons: readonly { readonly severity: string; readonly text: string }[];
  readonly backup?: { readonly backup_id: string; readonly created_at: string } | undefined;
  readonly rpo_seconds?: number | undefined;
  readonly rto_seconds?: number | undefined;
}

/** A message for people, from which each format is made. Contains neither secrets nor addresses of stores. */
export interface Message {
  readonly id: string;
  readonly type: NotifyEvent['type'];
  readonly severity: Severity;
  /** Name of the stack. */
  readonly deployment: string;
  readonly target?: string | undefined;
  readonly job_id?: string | undefined;
  readonly backup_id?: string | undefined;
  readonly at: string;
  /** One line: what happened to which target. */
  readonly title: string;
  /** What happened, in a few sentences. */
  readonly text: string;
  /** What it means for recoverability. Absent for events without a target. */
  readonly recoverability?: { readonly verdict: Verdict['recoverable'] | 'unknown'; readonly text: string };
  /** The next command. */
  readonly next: string;
  /** The time in the configured zone. */
  readonly local_time: string;
}

export interface ComposeOptions {
  readonly deployment: string;
  readonly timeZone: string;
  /** Undefined if it could not be determined. */
  readonly verdict?: Verdict | undefined;
}

/** Composes the message of an event. */
export function composeMessage(
  event: NotifyEvent,
  { deployment, timeZone, verdict }: ComposeOptions,
): Message {
  const { severity, title, text, next } = WORDING[event.type](event);
  return {
    id: event.id,
    type: event.type,
    severity,
    deployment,
    target: event.target,
    job_id: event.job_id,
    backup_id: event.backup_id,
    at: event.at,
    title,
    text: withoutAddresses(text),
    ...(event.target === undefined
      ? {}
      : { recoverability: recoverabilityOf(verdict, (iso) => localTime(iso, timeZone)) }),
    next,
    local_time: localTime(event.at, timeZone),
  };
}

/** The subject of an e-mail: ASCII, at most 100 characters. */
export function subjectOf({ deployment, title }: Pick<Message, 'deployment' | 'title'>): string {
  const subject = `[${deployment}] ${title}`.replaceAll(/[^\x20-\x7e]/g, '?');
  return subject.length <= SUBJECT_MAX ? subject : `${subject.slice(0, SUBJECT_MAX - 3)}...`;
}

/** The body of an e-mail. */
export function plainText(message: Message): string {
  const { text, recoverability, next, deployment, target, job_id, backup_id, local_time } = message;
  const facts = [
    `Deployment: ${deployment}`,
    target && `Target: ${target}`,
    job_id && `Job: ${job_id}`,
    backup_id && `Backup: ${backup_id}`,
    `Time: ${local_time}`,
  ].filter((fact) => fact !== undefined);
  return [
    message.title,
    '',
    text,
    '',
    ...(recoverability ? [recoverability.text, ''] : []),
    `Next: ${next}`,
    '',
    ...facts,
  ].join('\n');
}

type Wording = (event: NotifyEvent) => { severity: Severity; title: string; text: string; next: string };

const targetName = ({ target }: NotifyEvent) => (target === undefined ? 'an unknown target' : `"${target}"`);
const showJob = ({ job_id }: NotifyEvent) => (job_id === undefined ? 'ngbak jobs' : `ngbak job ${job_id}`);
const showBackup = (event: NotifyEvent) =>
  event.backup_id === undefined ? showJob(event) : `ngbak show ${event.backup_id}`;
const forTarget = (command: string, { target }: NotifyEvent) =>
  target === undefined ? command : `${command} --target ${target}`;
const showTarget = ({ target }: NotifyEvent) =>
  target === undefined ? 'ngbak status' : `ngbak status ${target}`;
const reasonOf = ({ detail }: NotifyEvent) => (detail === undefined ? '' : ` ${quote(detail)}`);
const sentences = (...parts: (string | undefined)[]) => parts.filter((part) => part).join(' ');

/** The text of each event. */
const WORDING: Readonly<Record<NotifyEvent['type'], Wording>> = {
  'backup.failed': (event) => ({
    severity: 'critical',
    title: `Backup of ${targetName(event)} failed`,
    text: sentences('The backup failed; earlier backups are unchanged.', reasonOf(event).trim()),
    next: showJob(event),
  }),
  'backup.missed': (event) => ({
    severity: 'critical',
    title: `Backup of ${targetName(event)} is missing`,
    text: sentences(event.detail ?? 'A planned backup did not run.'),
    next:
      event.schedule === undefined
        ? forTarget('ngbak backup --wait', event)
        : `ngbak schedule show ${event.schedule}`,
  }),
  'backup.incomplete': (event) => ({
    severity: 'warning',
    title: `Backup of ${targetName(event)} has warnings`,
    text: `The backup was verified and added to the catalog, with ${plural(event.warnings ?? 1, 'unacknowledged warning')}: something was not saved, or needs attention.${reasonOf(event)}`,
    next: showBackup(event),
  }),
  'backup.suspicious': (event) => ({
    severity: 'critical',
    title: `Backup of ${targetName(event)} is empty or much smaller than before`,
    text: `The backup was verified, but does not count as a good one${event.records === undefined ? '' : `: it has ${plural(event.records, 'record')}`}. The data may have been lost before the backup.${reasonOf(event)}`,
    next: showBackup(event),
  }),
  'backup.drifted': (event) => ({
    severity: 'warning',
    title: `Backups of ${targetName(event)} drift repeatedly`,
    text: `${event.detail ?? 'The stores changed during the last backups.'} Each store is consistent in itself, but the stores may be from different moments. Pause the writers with hooks (docs/hooks.md), or back up at a quieter time.`,
    next: showBackup(event),
  }),
  'backup.not_copied': (event) => ({
    severity: 'warning',
    title: `Copy of the backup of ${targetName(event)} is missing`,
    text: `${event.detail ?? 'A backup was not copied.'} The backup itself is not affected. ngbak tries again.`,
    next: showTarget(event),
  }),
  'drill.failed': (event) => ({
    severity: 'critical',
    title: `Drill of ${targetName(event)} failed`,
    text: `A backup could not be restored to the scratch place. No target was changed.${reasonOf(event)}`,
    next: event.job_id === undefined ? 'ngbak drills' : `ngbak drills ${event.job_id}`,
  }),
  'drill.overdue': (event) => ({
    severity: 'warning',
    title: `Drill of ${targetName(event)} is overdue`,
    text: event.detail ?? 'No restore was rehearsed for too long.',
    next:
      event.schedule === undefined
        ? forTarget('ngbak drill --wait', event)
        : `ngbak schedule show ${event.schedule}`,
  }),
  'restore.started': (event) => ({
    severity: 'info',
    title: `Restore into ${targetName(event)} started`,
    text: sentences(
      `The restore has begun to write${event.backup_id === undefined ? '' : ` backup ${event.backup_id}`}.`,
      event.requested_by && `Requested by: ${event.requested_by}.`,
    ),
    next: `${showJob(event)} --wait`,
  }),
  'restore.awaiting_approval': (event) => ({
    severity: 'warning',
    title: `Restore into ${targetName(event)} awaits approval`,
    text: sentences(
      'The archive was inspected, and nothing was written yet.',
      `Review the inspection, then approve it with \`ngbak confirm ${event.job_id} ${event.target}\` or reject it with \`ngbak reject ${event.job_id}\`.`,
      event.requested_by && `Requested by: ${event.requested_by}.`,
    ),
    next: showJob(event),
  }),
  'restore.completed': (event) => ({
    severity: 'info',
    title: `Restore into ${targetName(event)} completed`,
    text: sentences(
      `Every record was read back and compared with the archive${measured(event)}.`,
      event.requested_by && `Requested by: ${event.requested_by}.`,
    ),
    next: showJob(event),
  }),
  'restore.failed': (event) => ({
    severity: 'critical',
    title: `Restore into ${targetName(event)} failed`,
    text: `The restore failed and was not rolled back.${reasonOf(event)}`,
    next: showJob(event),
  }),
  'restore.rolled_back': (event) => ({
    severity: 'critical',
    title: `Restore into ${targetName(event)} was rolled back`,
    text: `The restore ended after it had begun to write. The target has its previous contents again.${reasonOf(event)}`,
    next: showJob(event),
  }),
  'data.changed': (event) => ({
    severity: 'critical',
    title: `Integrity check failed for ${targetName(event)}`,
    text: `Data differs from what was saved.${reasonOf(event)}`,
    next: event.job_id === undefined ? 'ngbak list --state damaged' : showJob(event),
  }),
  'target.locked': (event) => ({
    severity: 'critical',
    title: `Target ${targetName(event)} is locked`,
    text: `A restore failed, and so did its rollback: the contents may be incomplete, and no backups run until a restore into the target succeeds.${reasonOf(event)}`,
    next:
      event.backup_id === undefined
        ? showTarget(event)
        : forTarget(`ngbak restore ${event.backup_id}`, event),
  }),
  'target.not_recoverable': (event) => ({
    severity: 'critical',
    title: `Target ${targetName(event)} is not recoverable`,
    text: `If its data were lost now, it could not be restored.${reasonOf(event)}`,
    next: showTarget(event),
  }),
  'target.recoverable': (event) => ({
    severity: 'info',
    title: `Target ${targetName(event)} is recoverable again`,
    text: 'It has a good backup that can be read.',
    next: showTarget(event),
  }),
  'target.reminder': (event) => ({
    severity: 'critical',
    title: `Reminder: target ${targetName(event)} needs attention`,
    text: [
      'Reported earlier, and still the case:',
      ...(event.conditions ?? []).map((text) => `- ${quote(text)}`),
    ].join('\n'),
    next: showTarget(event),
  }),
  alarm: ({ alarm, detail }) => ({
    severity: alarm?.state === 'OK' ? 'info' : 'critical',
    title: `Alarm ${alarm?.name ?? ''}: ${alarm?.state ?? 'unknown'}`,
    text: alarm?.state === 'OK' ? 'The alarm has ended.' : (detail ?? 'CloudWatch raised this alarm.'),
    next: 'ngbak status',
  }),
  test: ({ requested_by }) => ({
    severity: 'info',
    title: 'Test message',
    text: sentences(
      'Notifications of ngbak reach this receiver.',
      requested_by && `Requested by: ${requested_by}.`,
    ),
    next: 'ngbak status',
  }),
};

function measured({ records, bytes: size, seconds }: NotifyEvent): string {
  const parts = [
    records === undefined ? undefined : plural(records, 'record'),
    size === undefined ? undefined : bytes(size),
    seconds === undefined ? undefined : `in ${duration(seconds)}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? '' : `: ${parts.join(', ')}`;
}

const ANSWERS = { yes: 'yes', yes_with_warnings: 'yes, with warnings', no: 'NO' } as const;

function recoverabilityOf(
  verdict: Verdict | undefined,
  local: (iso: string) => string,
): NonNullable<Message['recoverability']> {
  if (!verdict) {
    return { verdict: 'unknown', text: 'Recoverable: could not be determined. Run `ngbak status`.' };
  }
  const { recoverable, reasons, backup, rpo_seconds, rto_seconds } = verdict;
  const loss =
    backup === undefined || rpo_seconds === undefined
      ? undefined
      : `A restore now would use ${backup.backup_id} of ${local(backup.created_at)} and lose the last ${duration(rpo_seconds)}${rto_seconds === undefined ? '' : `; it would take about ${duration(rto_seconds)}`}.`;
  const restrictions = reasons.filter(({ severity }) => severity !== 'note');
  const shown = restrictions.slice(0, REASONS_MAX).map(({ text }) => `- ${quote(withoutAddresses(text))}`);
  const more = restrictions.length - shown.length;
  const lines = [
    sentences(`Recoverable: ${ANSWERS[recoverable]}.`, loss),
    ...shown,
    ...(more > 0 ? [`- and ${more} more: \`ngbak status\``] : []),
  ];
  return { verdict: recoverable, text: lines.join('\n') };
}

/** A text from elsewhere, shortened. */
function quote(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= QUOTE_MAX ? line : `${line.slice(0, QUOTE_MAX - 1)}…`;
}

/** `2026-01-02 04:04 CET`. */
function localTime(iso: string, timeZone: string): string {
  const at = new Date(iso);
  // The Swedish format is ISO 8601, and the English one has the name of the zone.
  const time = at.toLocaleString('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'short' });
  const zone = new Intl.DateTimeFormat('en-GB', { timeZone, timeZoneName: 'short' })
    .formatToParts(at)
    .find(({ type }) => type === 'timeZoneName')?.value;
  return `${time} ${zone ?? timeZone}`;
}

function plural(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}
