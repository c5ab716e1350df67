import { SELFTEST_TARGET } from '../../core/selftest.ts';
import type { StorageClass } from '../../core/storage-class.ts';
import type { Environment } from '../environment.ts';
import type { BackupPlan } from './plan.ts';

/**
 * Whether a backup stays in STANDARD: a safety backup, which a rollback must be able to read at once, and the backup of
 * a self-test. Both are deleted before most minimum durations of other classes end.
 */
function staysInStandard({ request, target }: Pick<BackupPlan, 'request' | 'target'>): boolean {
  return request.part_of !== undefined || target === SELFTEST_TARGET;
}

/** The storage class in which the archive of a backup is created. */
export function storageClassOf(
  { config }: Pick<Environment, 'config'>,
  plan: Pick<BackupPlan, 'request' | 'target'>,
): StorageClass {
  return staysInStandard(plan) ? 'STANDARD' : config.storage_class;
}

/** Whether lifecycle rules may move the archive of a backup to other classes. */
export function isMovable(
  { config }: Pick<Environment, 'config'>,
  plan: Pick<BackupPlan, 'request' | 'target'>,
): boolean {
  return config.transitions.length > 0 && !staysInStandard(plan);
}
