import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Bucket } from '../aws/bucket.ts';
import { ACKNOWLEDGED_KEY } from '../aws/keys.ts';
import { Id } from '../core/ids.ts';
import { StoreName } from '../core/store-name.ts';
import { StoreWarning } from '../stores/warning.ts';

/** A warning of a backup, with its store. */
export const BackupWarning = StoreWarning.extend({ store: StoreName });
export type BackupWarning = z.infer<typeof BackupWarning>;

/** A store without records, although some are expected. */
export const STORE_EMPTY = 'store-empty';
/** Far fewer records than in the last good backup. */
export const RECORDS_FELL = 'records-fell';
/** Warnings that prevent a backup from being good until they are acknowledged. */
const SUSPICIOUS: readonly string[] = [STORE_EMPTY, RECORDS_FELL];

/**
 * Identifies a warning across the backups of a target, by store, code and text. Excludes counts and samples, so that a
 * warning stays acknowledged when its count changes.
 */
export function warningId({ store, code, text }: BackupWarning): string {
  return `${store}/${code}/${createHash('sha256').update(text).digest('hex').slice(0, 12)}`;
}

/** Whether the warning with this id prevents a backup from being good. */
export function isSuspicious(id: string): boolean {
  return SUSPICIOUS.includes(id.split('/')[1] ?? '');
}

/** The acknowledgement of a warning of a target, for all of its backups. */
export const Acknowledgement = z.object({
  target: Id,
  /** The warning's id, see {@link warningId}. */
  warning: z.string(),
  at: z.iso.datetime(),
  by: z.string(),
  note: z.string().optional(),
});
export type Acknowledgement = z.infer<typeof Acknowledgement>;

/** `settings/acknowledged-warnings.json` */
export const AcknowledgedRecord = z.object({ acknowledged: z.array(Acknowledgement) });
export type AcknowledgedRecord = z.infer<typeof AcknowledgedRecord>;

/** Finds the acknowledgement of a warning. */
export interface Acknowledged {
  find(target: string, warning: string): Acknowledgement | undefined;
}

/** Reads the acknowledgements of all targets. */
export async function readAcknowledged(bucket: Bucket): Promise<Acknowledged> {
  const record = await bucket.readRecord(ACKNOWLEDGED_KEY, AcknowledgedRecord);
  const known = new Map(record?.value.acknowledged.map((one) => [`${one.target} ${one.warning}`, one]));
  return { find: (target, warning) => known.get(`${target} ${warning}`) };
}
