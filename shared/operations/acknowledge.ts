import { z } from 'zod';
import { ACKNOWLEDGED_KEY } from '../aws/keys.ts';
import { type BackupDetails, detail } from '../catalog/summaries.ts';
import { AcknowledgedRecord, readAcknowledged, warningId } from '../catalog/warnings.ts';
import { InvalidInputError } from '../core/errors.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';

/** Maximum number of acknowledgements that are kept, for all targets together. The oldest are removed first. */
const ACKNOWLEDGEMENTS_MAX = 2000;

export const AcknowledgeInput = z.strictObject({
  /** Ids or codes of warnings of this backup. Default: all of them. */
  warnings: z.array(z.string().min(1).max(200)).min(1).max(500).optional(),
  /** False withdraws an acknowledgement. */
  acknowledged: z.boolean().default(true),
  note: z.string().max(1000).optional(),
});
export type AcknowledgeInput = z.infer<typeof AcknowledgeInput>;

/**
 * Acknowledges warnings of a backup, for its target: they stay visible, but no longer give any backup of the target the
 * state "with warnings". Idempotent. Throws NotFoundError, and InvalidInputError if the backup has no such warning.
 */
export async function acknowledgeWarnings(
  context: OperationsContext,
  backupId: string,
  { warnings: chosen, acknowledged, note }: AcknowledgeInput,
  { requestedBy }: { requestedBy: string },
): Promise<BackupDetails> {
  const record = (await readCatalogued(context, backupId)).value;
  const { target, warnings = [] } = record;
  const known = warnings.map((warning) => ({ id: warningId(warning), code: warning.code }));
  const unknown = chosen?.find((name) => !known.some(({ id, code }) => name === id || name === code));
  if (unknown !== undefined) {
    throw new InvalidInputError(`Backup ${record.backup_id} has no warning "${unknown}".`, {
      remedy:
        known.length === 0
          ? 'It has no warnings at all.'
          : `Its warnings are: ${known.map(({ id }) => id).join(', ')}.`,
    });
  }
  const ids = new Set(
    known
      .filter(({ id, code }) => !chosen || chosen.includes(id) || chosen.includes(code))
      .map(({ id }) => id),
  );
  const at = new Date().toISOString();
  await context.bucket.updateRecord(ACKNOWLEDGED_KEY, AcknowledgedRecord, (record) => {
    const all = record?.acknowledged ?? [];
    const others = all.filter((one) => one.target !== target || !ids.has(one.warning));
    if (!acknowledged) return { acknowledged: others };
    const added = [...ids].map((warning) => {
      const before = all.find((one) => one.target === target && one.warning === warning);
      return before && note === undefined
        ? before
        : { target, warning, at, by: requestedBy, ...(note === undefined ? {} : { note }) };
    });
    return { acknowledged: [...others, ...added].slice(-ACKNOWLEDGEMENTS_MAX) };
  });
  return detail(record, await readAcknowledged(context.bucket), context.bucket.place);
}
