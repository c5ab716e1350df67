import { z } from 'zod';
import { SIGNATURE_ENDING } from '../../archive/format/signature.ts';
import { admittedRestoreKey, catalogKey, deferredKey, restoreRequestKey, UPLOADS } from '../../aws/keys.ts';
import { DrillRequest } from '../../catalog/drill-request.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { isSafetyJob } from '../../core/job-kinds.ts';
import { hasEnded } from '../../core/job-state.ts';
import type { ThawRequest } from '../../core/storage-class.ts';
import type { StoreName } from '../../core/store-names.ts';
import { chooseBackup } from '../drill/choose-backup.ts';
import { type DrillPlace, drillDestination, lockNameOf, refuseDrillTarget } from '../drill/destination.ts';
import type { Environment } from '../environment.ts';
import { type ExecutionInfo, jobIdOf } from '../job/execution.ts';
import { takeLock } from '../job/lock.ts';
import { chooseTarget } from '../job/names.ts';
import { createJob, type JobRecord, readJob, SKIPPED, updateJob } from '../job/record.ts';
import { beginRun, lockOrSkip } from '../job/scheduled-run.ts';
import { chooseStores } from './choose-stores.ts';
import {
  type AdmittedRestore,
  jobIdsOfUpload,
  readAdmitted,
  readRestorePlan,
  type UploadEvent,
  uploadOf,
} from './plan.ts';
import {
  AttachRequest,
  CatalogRestore,
  drillOptions,
  isConfirmed,
  RestoreOptions,
  RollbackRequest,
  resolveMode,
  UploadRequest,
} from './request.ts';
import { findSafetyBackup } from './safety.ts';

/** Output of the first step of a restore. */
export type Admission =
  | { admitted: false; reason: string }
  | {
      admitted: true;
      job_id: string;
      target: string;
      confirmed: boolean;
      stores: StoreName[];
      /** Whether the archive is thawed first, if it is in cold storage. */
      thaw: boolean;
      cursor: null;
    };

/**
 * First step of a restore: determines the request, and makes it the job of exactly one execution. S3 delivers events at
 * least once and in any order, so the job is claimed with a conditional write: later executions find it claimed and
 * end. Reads and writes the bucket only.
 */
export async function admitRestore(
  environment: Environment,
  input: unknown,
  execution: ExecutionInfo,
): Promise<Admission> {
  const event = uploadOf(environment.bucket, input);
  const rollback = RollbackRequest.safeParse(input);
  const attach = AttachRequest.safeParse(input);
  if (z.looseObject({ drill: z.unknown() }).safeParse(input).success) {
    return admitDrill(environment, input, execution);
  }
  // A signature is uploaded before its archive, whose inspection reads it.
  if (event?.detail.object.key.endsWith(SIGNATURE_ENDING)) {
    return { admitted: false, reason: `${event.detail.object.key} is a signature, not an archive.` };
  }
  const restore = event
    ? await admitUpload(environment, event, execution)
    : rollback.success
      ? await admitRollback(environment, rollback.data.rollback_of, execution)
      : attach.success
        ? await admitAttach(environment, attach.data, execution)
        : await admitCatalogRestore(environment, input, execution);
  const refusal = await claim(environment, { ...restore, kind: 'restore' });
  if (refusal !== undefined) return { admitted: false, reason: refusal };
  // The record of the first attempt of this execution takes precedence.
  await environment.bucket.writeOnce(admittedRestoreKey(restore.job_id), restore);
  return admissionOf(restore);
}

function admissionOf(restore: AdmittedRestore): Admission {
  return {
    admitted: true,
    job_id: restore.job_id,
    target: restore.target,
    confirmed: restore.confirmed,
    stores: restore.stores,
    thaw: restore.thaw !== undefined,
    cursor: null,
  };
}

async function admitUpload(
  environment: Environment,
  event: UploadEvent,
  execution: ExecutionInfo,
): Promise<AdmittedRestore> {
  const { bucket, object } = event.detail;
  if (bucket.name !== environment.bucket.name) {
    throw new InvalidInputError(
      `The upload is in bucket "${bucket.name}", which is not the archive bucket.`,
      {
        remedy: `Upload to s3://${environment.bucket.place}/${UPLOADS}.`,
      },
    );
  }
  const ids = jobIdsOfUpload(event);
  const request = ids.requested
    ? (await environment.bucket.readRecord(restoreRequestKey(ids.requested), UploadRequest))?.value
    : undefined;
  const version = object['version-id'];
  const source = {
    bucket: bucket.name,
    key: object.key,
    ...(version === undefined ? {} : { version_id: version }),
  };
  if (request && request.key === object.key) {
    return makeRecord(environment, execution, {
      jobId: request.job_id,
      target: request.target,
      source,
      options: request.options,
      confirmed: request.confirmed,
      requestedBy: request.requested_by,
      ...(request.signature === undefined ? {} : { signature: request.signature }),
    });
  }
  // Uploaded manually, for example with `aws s3 cp`: `uploads/<target>/<file>.ngbak`, or without a folder if the target
  // is unambiguous.
  const folder = ids.requested;
  return makeRecord(environment, execution, {
    jobId: ids.byHand,
    target: chooseTarget(
      environment.config,
      folder !== undefined && Object.hasOwn(environment.config.targets, folder) ? folder : undefined,
    ),
    source,
    options: RestoreOptions.parse({}),
    confirmed: false,
    requestedBy: undefined,
  });
}

async function admitCatalogRestore(
  environment: Environment,
  input: unknown,
  execution: ExecutionInfo,
): Promise<AdmittedRestore> {
  const { backup_id, target, confirm, requested_by, thaw, ...options } = parseInput(
    CatalogRestore,
    input,
    'The restore request',
    'See docs/aws-cli.md for its fields.',
  );
  const found = await environment.bucket.readRecord(catalogKey(backup_id), CatalogRecord);
  if (!found) {
    throw new InvalidInputError(`There is no backup "${backup_id}" in the catalog.`, {
      remedy: 'List the backups with `ngbak list` and use an ID from that list.',
    });
  }
  const wanted = target ?? found.value.target;
  return makeRecord(environment, execution, {
    jobId: jobIdOf(execution),
    target: wanted,
    source: sourceOf(environment, found.value),
    options,
    confirmed: isConfirmed(confirm, wanted),
    requestedBy: requested_by,
    backupId: backup_id,
    ...(thaw === undefined ? {} : { thaw }),
    savedScopes: isSafetyJob(found.value.job_id) && found.value.target === wanted && !found.value.unconfirmed,
  });
}

async function admitRollback(
  environment: Environment,
  jobId: string,
  execution: ExecutionInfo,
): Promise<AdmittedRestore> {
  const [failed, safety] = await Promise.all([
    readRestorePlan(environment.bucket, jobId),
    findSafetyBackup(environment.bucket, jobId),
  ]);
  if (!safety) {
    throw new InvalidInputError(`Restore ${jobId} has no safety backup to roll back to.`, {
      remedy: 'Restore the newest good backup of the target instead.',
    });
  }
  const restore = makeRecord(environment, execution, {
    jobId: jobIdOf(execution),
    target: failed.target,
    source: sourceOf(environment, safety),
    options: RestoreOptions.parse({ stores: failed.stores, safety_backup: false, dangling: 'stitch' }),
    confirmed: true,
    requestedBy: `restore ${jobId}`,
    backupId: safety.backup_id,
    savedScopes: true,
  });
  return { ...restore, rollback_of: jobId };
}

async function admitAttach(
  environment: Environment,
  { attach, confirm, requested_by, ...options }: z.infer<typeof AttachRequest>,
  execution: ExecutionInfo,
): Promise<AdmittedRestore> {
  const { bucket } = environment;
  const earlier = await readAdmitted(bucket, attach);
  let kept = false;
  for await (const { key } of bucket.keys(deferredKey(attach))) kept ||= key === deferredKey(attach);
  if (!kept) {
    throw new InvalidInputError(`Restore ${attach} kept no relationships.`, {
      remedy: 'Name a restore with "dangling": "defer" whose result reports deferred relationships.',
    });
  }
  const restore = makeRecord(environment, execution, {
    jobId: jobIdOf(execution),
    target: earlier.target,
    source: { bucket: bucket.name, key: deferredKey(attach) },
    options: RestoreOptions.parse({
      ...options,
      stores: ['graph'],
      mode: 'merge',
      on_conflict: 'keep',
      dangling: 'stitch',
    }),
    confirmed: isConfirmed(confirm, earlier.target),
    requestedBy: requested_by,
    ...(earlier.backup_id === undefined ? {} : { backupId: earlier.backup_id }),
  });
  // The scope is not read from the kept archive: only the plan of the restore states where it has written to.
  const scope = (await readRestorePlan(bucket, attach)).routes.graph?.scope;
  return { ...restore, attach_of: attach, ...(scope === undefined ? {} : { attach_scope: scope }) };
}

/**
 * Admits a drill, which is a restore into an empty scope; see shared/workflows/drill. A scheduled one takes its lock
 * now, and is skipped if another drill holds it.
 */
async function admitDrill(
  environment: Environment,
  input: unknown,
  execution: ExecutionInfo,
): Promise<Admission> {
  const { bucket, config, sfn } = environment;
  const request = parseInput(DrillRequest, input, 'The drill', 'See docs/drills.md for its fields.');
  const { schedule } = request;
  const named =
    request.drill.backup_id === undefined ? undefined : await chooseBackup(environment, request.drill);
  const of = named?.target ?? chooseTarget(config, request.drill.target);
  const jobId = jobIdOf(execution);
  // Before anything that may fail, so that the job of a scheduled drill has the reason.
  const refusal =
    (await claim(environment, {
      job_id: jobId,
      kind: 'drill',
      rehearsal: request.drill.rehearsal === 'always',
      target: of,
      execution_arn: execution.arn,
      created_at: new Date(execution.start).toISOString(),
      requested_by: request.requested_by,
    })) ??
    (schedule && (await beginRun(environment, schedule, jobId, execution.start)));
  if (refusal !== undefined) return { admitted: false, reason: refusal };
  const backup = named ?? (await chooseBackup(environment, { target: of }));
  await updateJob(bucket, jobId, () => ({ backup_id: backup.backup_id }));
  const rehearsal = request.drill.rehearsal ?? (schedule ? 'if_needed' : 'never');
  const { target, drill } = drillDestination(config, of, rehearsal);
  const { require_signature, thaw } = request.drill;
  const requirement = require_signature === undefined ? {} : { require_signature };
  const restore = makeRecord(environment, execution, {
    jobId,
    target,
    source: sourceOf(environment, backup),
    options: { ...drillOptions({ drill }), ...requirement },
    confirmed: true,
    requestedBy: request.requested_by,
    backupId: backup.backup_id,
    drill,
    ...(thaw === undefined ? {} : { thaw }),
  });
  // The record of the first attempt of this execution takes precedence.
  await bucket.writeOnce(admittedRestoreKey(jobId), restore);
  const lock = () =>
    takeLock(bucket, sfn, {
      target: lockNameOf(restore),
      job_id: jobId,
      kind: 'drill',
      execution_arn: execution.arn,
    });
  const skipped = schedule && (await lockOrSkip(environment, schedule, jobId, lock));
  return skipped === undefined ? admissionOf(restore) : { admitted: false, reason: skipped };
}

function sourceOf({ bucket }: Environment, { archive }: CatalogRecord): AdmittedRestore['source'] {
  return {
    bucket: bucket.name,
    key: archive.key,
    ...(archive.version_id === undefined ? {} : { version_id: archive.version_id }),
  };
}

function makeRecord(
  environment: Environment,
  execution: ExecutionInfo,
  wanted: {
    jobId: string;
    target: string;
    source: AdmittedRestore['source'];
    options: RestoreOptions;
    confirmed: boolean;
    requestedBy: string | undefined;
    backupId?: string;
    savedScopes?: boolean;
    drill?: DrillPlace;
    thaw?: ThawRequest;
    signature?: string;
  },
): AdmittedRestore {
  const options = resolveMode(wanted.options);
  if (!wanted.drill) refuseDrillTarget(environment.config, wanted.target);
  return {
    job_id: wanted.jobId,
    target: wanted.target,
    execution_arn: execution.arn,
    created_at: new Date(execution.start).toISOString(),
    source: wanted.source,
    ...(wanted.backupId === undefined ? {} : { backup_id: wanted.backupId }),
    options,
    stores: chooseStores(environment.config, wanted.target, options),
    confirmed: wanted.confirmed,
    ...(wanted.savedScopes ? { saved_scopes: true } : {}),
    ...(wanted.drill ? { drill: wanted.drill } : {}),
    ...(wanted.thaw ? { thaw: wanted.thaw } : {}),
    ...(wanted.signature === undefined ? {} : { signature: wanted.signature }),
    ...(wanted.requestedBy === undefined ? {} : { requested_by: wanted.requestedBy }),
  };
}

/**
 * Claims the job for this execution. Returns undefined, or the reason why this execution has nothing to do: another one
 * owns the job, or an earlier attempt of this step skipped it.
 */
async function claim(
  { bucket }: Environment,
  claimed: Pick<
    JobRecord,
    'job_id' | 'kind' | 'rehearsal' | 'target' | 'created_at' | 'backup_id' | 'requested_by'
  > & { readonly execution_arn: string },
): Promise<string | undefined> {
  const { job_id, kind, rehearsal, target, execution_arn, created_at, backup_id, requested_by } = claimed;
  const created = await createJob(bucket, {
    job_id,
    kind,
    ...(rehearsal ? { rehearsal } : {}),
    target,
    state: 'processing',
    execution_arn,
    created_at,
    updated_at: new Date().toISOString(),
    ...(backup_id === undefined ? {} : { backup_id }),
    ...(requested_by === undefined ? {} : { requested_by }),
  });
  if (created) return undefined;
  const job = await updateJob(bucket, job_id, (record) =>
    record.execution_arn === undefined && !hasEnded(record.state)
      ? { execution_arn, state: 'processing' }
      : undefined,
  );
  if (job?.error?.name === SKIPPED) return job.error.message;
  if (job?.execution_arn === execution_arn) return undefined;
  const current = job ?? (await readJob(bucket, job_id));
  return `Job ${job_id} is already handled by execution ${current?.execution_arn ?? 'none'}, and is ${current?.state ?? 'gone'}.`;
}
