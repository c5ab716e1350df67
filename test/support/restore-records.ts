import { admittedRestoreKey, inspectionKey, restorePlanKey } from '../../shared/aws/keys.ts';
import type { Environment } from '../../shared/workflows/environment.ts';
import type { InspectionRecord } from '../../shared/workflows/restore/inspection.ts';
import { AdmittedRestore, RestorePlan } from '../../shared/workflows/restore/plan.ts';

/** A restore that has been admitted, with its record. */
export async function admit({ bucket }: Environment, changes: object = {}): Promise<AdmittedRestore> {
  const admitted = AdmittedRestore.parse({
    job_id: 'job',
    target: 'default',
    execution_arn: 'arn:restore',
    created_at: '2026-01-03T03:04:05.000Z',
    source: { bucket: bucket.name, key: 'backups/x.ngbak' },
    options: {},
    stores: ['kv'],
    confirmed: true,
    ...changes,
  });
  await bucket.writeRecord(admittedRestoreKey(admitted.job_id), admitted);
  return admitted;
}

/** The same restore after an inspection without findings. */
export async function inspected(environment: Environment, changes: object = {}): Promise<AdmittedRestore> {
  const admitted = await admit(environment, changes);
  const { job_id, target, created_at, source, options, stores } = admitted;
  const record: InspectionRecord = {
    job_id,
    target,
    inspected_at: created_at,
    archive: {
      ...{ backup_id: 'b', created_at, bytes: 1, entries: 1, checksum: 'c', normalized: false, lacks: [] },
    },
    stores: [],
    references: [],
    warnings: [],
    problems: [],
    resolved: { options, stores, archive: source, routes: {} },
  };
  await environment.bucket.writeRecord(inspectionKey(job_id), record);
  return admitted;
}

/** The same restore once it has begun. */
export async function begun(environment: Environment, changes: object = {}): Promise<RestorePlan> {
  const admitted = await inspected(environment, changes);
  const plan = RestorePlan.parse({ ...admitted, archive: admitted.source, routes: {}, safety: 'taken' });
  await environment.bucket.writeRecord(restorePlanKey(plan.job_id), plan);
  return plan;
}
