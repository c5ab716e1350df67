import { z } from 'zod';
import { Id } from '../core/ids.ts';
import { byStore } from '../core/store-name.ts';
import { BackupWarning } from './warnings.ts';

/** The data of one store in an archive, as it was when a verification last read all of its bytes and records. */
export const ReadRegion = z.object({
  /** The backup whose verification read them: this one, or an earlier one from which the data was carried. */
  backup_id: Id,
  /** When that verification ended. */
  at: z.iso.datetime(),
  /** Length in the archive, in bytes. */
  bytes: z.int().positive(),
  entries: z.int().positive(),
  /** Of these bytes, base64, as S3 states it. */
  crc32: z.string(),
  /** SHA-256 of its lines in the index, which state name, size, SHA-256 and place of each entry. */
  index: z.string(),
  /** What the verification found in the records. Absent if nothing. */
  warnings: z.array(BackupWarning).optional(),
});
export type ReadRegion = z.infer<typeof ReadRegion>;

/** By store. */
export const ReadRegions = byStore(ReadRegion);
export type ReadRegions = z.infer<typeof ReadRegions>;
