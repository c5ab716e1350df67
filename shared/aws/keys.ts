/**
 * The layout of the bucket: the only place that knows object keys. A deployment may have a prefix before all of them,
 * which only the S3 client of the bucket knows: key-prefix.ts.
 *
 * `backups/`  archives and their catalog records        `staging/`  intermediate files of running jobs
 * `uploads/`  archives uploaded for a restore           `jobs/`     the records of each job
 * `locks/`    one object for each target in use         `deferred/` relationships whose other end is missing
 * `runs/`     the job of each run of a schedule         `settings/` settings changed without a deployment
 * `cache/`    data derived from other objects           `selftest/` files of the target of `ngbak selftest`
 * `drills/`   one record for each drill                  `notifications/` events, deliveries and receivers
 */
import { SELFTEST_PREFIX } from '../core/selftest.ts';

export const BACKUPS = 'backups/';
/** Relationships whose other end does not exist yet: an archive for each restore that keeps some. */
export const DEFERRED = 'deferred/';
export const STAGING = 'staging/';
export const UPLOADS = 'uploads/';
export const JOBS = 'jobs/';
export const LOCKS = 'locks/';
export const RUNS = 'runs/';
/** Data that is derived from other objects and may be removed at any time. Exporters have no access to it. */
export const CACHE = 'cache/';
/** The retention policy, if one was set. Its older versions are kept: they document which policy was in effect when. */
export const RETENTION_KEY = 'settings/retention.json';
/** The acknowledged warnings of each target. */
export const ACKNOWLEDGED_KEY = 'settings/acknowledged-warnings.json';

/** The records of drills, which outlive their jobs. No lifecycle rule removes them. */
export const DRILLS = 'drills/';
export const drillKey = (jobId: string) => `${DRILLS}${jobId}.json`;
/** The last passed drills of a target. No drill can have this name: ids contain no ".". */
export const lastDrillsKey = (target: string) => `${DRILLS}.last/${target}.json`;

/** Events for the receivers of notifications, and what became of them. */
export const NOTIFICATIONS = 'notifications/';
/** Events that not every receiver has got yet. */
export const OUTBOX = `${NOTIFICATIONS}outbox/`;
export const outboxKey = (eventId: string) => `${OUTBOX}${eventId}.json`;
/** The deliveries of one event. */
const DELIVERIES = `${NOTIFICATIONS}deliveries/`;
export const deliveryKey = (eventId: string) => `${DELIVERIES}${eventId}.json`;
/** The conditions of a target that were reported. */
export const watchStateKey = (target: string) => `${NOTIFICATIONS}watch/${target}.json`;
/** The state of every receiver. */
export const RECEIVERS_KEY = `${NOTIFICATIONS}receivers.json`;

/** The folders that a deployment uses, at the top of its bucket or below its prefix. */
export const OWN_FOLDERS: readonly string[] = [
  ...[BACKUPS, DEFERRED, STAGING, UPLOADS, JOBS, LOCKS, RUNS, DRILLS, CACHE],
  ...['settings/', SELFTEST_PREFIX, NOTIFICATIONS],
];

/** Servers on which a job may have left data, because they were unreachable when it ended. */
export const UNCLEAN = `${JOBS}.unclean/`;

export const uncleanKey = (jobId: string) => `${UNCLEAN}${jobId}.json`;
export const deferredKey = (jobId: string) => `${DEFERRED}${jobId}.ngbak`;
export const archiveKey = (backupId: string) => `${BACKUPS}${backupId}.ngbak`;
/** The signature of an archive, beside it: of a backup or of an upload. */
export const signatureKey = (key: string) => `${key}.sig`;
/** A cache for long lists, which can be removed without loss. */
export const CATALOG_CACHE_KEY = `${CACHE}catalog.json`;
/** The scheduled verification in progress. */
export const VERIFICATION_STATE_KEY = `${CACHE}verification.json`;
export const catalogKey = (backupId: string) => `${BACKUPS}${backupId}.json`;

/**
 * Prefix of the id under which a verification or a comparison of backups that an operator requested keeps its
 * intermediate results in `staging/`.
 */
export const VERIFICATIONS = 'verification_';
export const verificationId = (unique: string) => `${VERIFICATIONS}${unique}`;
export const comparisonId = (unique: string) => verificationId(`diff_${unique}`);
export const stagingPrefix = (jobId: string) => `${STAGING}${jobId}/`;
export const segmentsPrefix = (jobId: string) => `${STAGING}${jobId}/segments/`;
export const exportWarningsPrefix = (jobId: string) => `${STAGING}${jobId}/warnings/`;
/** The warnings of one leg of an export; named after its segment. */
export const exportWarningsKey = (jobId: string, segment: string) =>
  `${exportWarningsPrefix(jobId)}${segment}.json`;
/** The warnings of a backup: from its stores, its exports and the comparison with earlier backups. */
export const backupWarningsKey = (jobId: string) => `${STAGING}${jobId}/warnings.json`;
export const backupPlanKey = (jobId: string) => `${STAGING}${jobId}/plan.json`;
export const consistencyKey = (jobId: string) => `${STAGING}${jobId}/consistency.json`;
/** What proves that each store did not change during the backup. */
export const proofsKey = (jobId: string) => `${STAGING}${jobId}/proofs.json`;
export const sealedKey = (jobId: string) => `${STAGING}${jobId}/sealed.json`;
/** The state that a leg of an archive check leaves for the next one. */
export const checkStateKey = (jobId: string, leg: number) =>
  `${STAGING}${jobId}/check/${String(leg).padStart(6, '0')}.json`;
/** The results of an archive check, except the problems. */
export const checkResultKey = (jobId: string) => `${STAGING}${jobId}/check/result.json`;
/** The state that a leg of a comparison leaves for the next one. */
export const comparisonStateKey = (id: string, leg: number) =>
  `${STAGING}${id}/compare/state-${String(leg).padStart(6, '0')}.json`;
/** A sorted run of the rows of a comparison. */
export const comparisonRunKey = (id: string, store: string, run: number) =>
  `${STAGING}${id}/compare/${store}-${String(run).padStart(6, '0')}`;
/** The result of checking the signature of a restore's archive. */
export const sourceSignatureKey = (jobId: string) => `${STAGING}${jobId}/signature.json`;
/** What a step has started in buckets other than the archive bucket. */
export const leftoversPrefix = (jobId: string) => `${STAGING}${jobId}/leftovers/`;
export const leftoverKey = (jobId: string, id: string) => `${leftoversPrefix(jobId)}${id}.json`;
export const normalizedArchiveKey = (jobId: string) => `${STAGING}${jobId}/normalized.ngbak`;

/** Records of restore legs sort in the order in which the legs ran. */
export const restoreLegsPrefix = (jobId: string, store: string, phase: string) =>
  `${STAGING}${jobId}/legs/${store}-${phase}-`;
export const restoreLegKey = (jobId: string, store: string, phase: string, leg: number) =>
  `${restoreLegsPrefix(jobId, store, phase)}${String(leg).padStart(6, '0')}.json`;

export const uploadPrefix = (jobId: string) => `${UPLOADS}${jobId}/`;

export const jobRecordKey = (jobId: string) => `${JOBS}${jobId}/job.json`;
/**
 * The index of jobs by the day of their creation: an object for each job, and one for each past day. No job can have
 * this name: ids contain no ".".
 */
export const JOB_DAYS_PREFIX = `${JOBS}.days/`;
export const jobDayKey = (day: string) => `${JOB_DAYS_PREFIX}${day}.json`;
export const jobOfDayKey = (day: string, jobId: string) => `${JOB_DAYS_PREFIX}${day}/${jobId}`;
/** Exists once every job is in the index. */
export const JOB_DAYS_COMPLETE_KEY = `${JOB_DAYS_PREFIX}complete`;
/** Totals of the days whose job records have expired. */
export const JOB_TOTALS_KEY = `${JOB_DAYS_PREFIX}totals`;
export const jobProgressPrefix = (jobId: string) => `${JOBS}${jobId}/progress/`;
/** The steps of a restore that are working on a store. */
export const leasePrefix = (jobId: string) => `${JOBS}${jobId}/leases/`;
export const restoreLeaseKey = (jobId: string, store: string) => `${leasePrefix(jobId)}${store}.json`;
export const restoreRequestKey = (jobId: string) => `${JOBS}${jobId}/request.json`;
/** The request of a restore, the result of its inspection, and its plan once it has begun: each is written once. */
export const admittedRestoreKey = (jobId: string) => `${JOBS}${jobId}/restore.json`;
export const inspectionKey = (jobId: string) => `${JOBS}${jobId}/inspection.json`;
export const restorePlanKey = (jobId: string) => `${JOBS}${jobId}/plan.json`;
export const confirmationKey = (jobId: string) => `${JOBS}${jobId}/confirmation.json`;

/** Where a drill loads each store, recorded before anything is created there. */
export const scratchPrefix = (jobId: string) => `${JOBS}${jobId}/scratch/`;
export const scratchKey = (jobId: string, store: string) => `${scratchPrefix(jobId)}${store}.json`;

export const lockKey = (target: string) => `${LOCKS}${target}.json`;

export const runsPrefix = (schedule: string) => `${RUNS}${schedule}/`;
/** Sorts by the planned time of the run; a manual run never takes the place of a planned one. */
export const runKey = (schedule: string, at: string, byHand: boolean) =>
  `${runsPrefix(schedule)}${new Date(at).toISOString().replaceAll(':', '-')}${byHand ? '-by-hand' : ''}.json`;
