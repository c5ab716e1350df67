/**
 * Where everything lives in the bucket: the one place that knows object keys. A deployment may have a prefix in front of all of
 * them, which only the S3 client of the bucket knows: key-prefix.ts.
 *
 * `backups/`  archives and their catalog records        `staging/`  what a running job has made so far
 * `uploads/`  archives on their way into a restore      `jobs/`     what is known about each job
 * `locks/`    one object for each target in use          `deferred/` relationships that wait for their other end
 * `runs/`     which job each run of a schedule was       `settings/` what was set without a deployment
 * `cache/`    what is derived from other objects        `selftest/` files of the target of `ngbak selftest`
 * `drills/`   one record for each drill
 */
import { SELFTEST_PREFIX } from '../core/selftest.ts';

export const BACKUPS = 'backups/';
/** Relationships whose other end is not there yet: an archive for each restore that keeps some. */
export const DEFERRED = 'deferred/';
export const STAGING = 'staging/';
export const UPLOADS = 'uploads/';
export const JOBS = 'jobs/';
export const LOCKS = 'locks/';
export const RUNS = 'runs/';
/** What is derived from other objects and may be removed at any time. Exporters have no access to it. */
export const CACHE = 'cache/';
/** The retention policy that somebody set. Its older versions stay: they say what it was when. */
export const RETENTION_KEY = 'settings/retention.json';
/** Which warnings of which target were acknowledged. */
export const ACKNOWLEDGED_KEY = 'settings/acknowledged-warnings.json';

/** The records of drills, which outlive their jobs. No rule of the bucket removes them. */
export const DRILLS = 'drills/';
export const drillKey = (jobId: string) => `${DRILLS}${jobId}.json`;

/** The folders that a deployment uses, at the top of its bucket or below its prefix. */
export const OWN_FOLDERS: readonly string[] = [
  ...[BACKUPS, DEFERRED, STAGING, UPLOADS, JOBS, LOCKS, RUNS, DRILLS, CACHE],
  ...['settings/', SELFTEST_PREFIX],
];

/** Servers on which a job may have left something, because they could not be reached when it ended. */
export const UNCLEAN = `${JOBS}.unclean/`;

export const uncleanKey = (jobId: string) => `${UNCLEAN}${jobId}.json`;
export const deferredKey = (jobId: string) => `${DEFERRED}${jobId}.ngbak`;
export const archiveKey = (backupId: string) => `${BACKUPS}${backupId}.ngbak`;
/** A cache for long lists; whoever removes it loses nothing. */
export const CATALOG_CACHE_KEY = `${CACHE}catalog.json`;
export const catalogKey = (backupId: string) => `${BACKUPS}${backupId}.json`;

/** Begins the id under which a verification that an operator asked for keeps, in `staging/`, what it has found so far. */
export const VERIFICATIONS = 'verification_';
export const verificationId = (unique: string) => `${VERIFICATIONS}${unique}`;
export const stagingPrefix = (jobId: string) => `${STAGING}${jobId}/`;
export const segmentsPrefix = (jobId: string) => `${STAGING}${jobId}/segments/`;
export const exportWarningsPrefix = (jobId: string) => `${STAGING}${jobId}/warnings/`;
/** What one leg of an export warned about; named as its segment. */
export const exportWarningsKey = (jobId: string, segment: string) =>
  `${exportWarningsPrefix(jobId)}${segment}.json`;
/** The warnings of a backup: what its stores, its exports and the comparison with earlier backups gave. */
export const backupWarningsKey = (jobId: string) => `${STAGING}${jobId}/warnings.json`;
export const backupPlanKey = (jobId: string) => `${STAGING}${jobId}/plan.json`;
export const consistencyKey = (jobId: string) => `${STAGING}${jobId}/consistency.json`;
export const sealedKey = (jobId: string) => `${STAGING}${jobId}/sealed.json`;
/** What a leg of checking an archive leaves for the next one. */
export const checkStateKey = (jobId: string, leg: number) =>
  `${STAGING}${jobId}/check/${String(leg).padStart(6, '0')}.json`;
/** What the check of an archive found beside problems. */
export const checkResultKey = (jobId: string) => `${STAGING}${jobId}/check/result.json`;
/** What a step has begun in buckets of others. */
export const leftoversPrefix = (jobId: string) => `${STAGING}${jobId}/leftovers/`;
export const leftoverKey = (jobId: string, id: string) => `${leftoversPrefix(jobId)}${id}.json`;
export const normalizedArchiveKey = (jobId: string) => `${STAGING}${jobId}/normalized.ngbak`;

/** Records of restore legs sort as they ran. */
export const restoreLegsPrefix = (jobId: string, store: string, phase: string) =>
  `${STAGING}${jobId}/legs/${store}-${phase}-`;
export const restoreLegKey = (jobId: string, store: string, phase: string, leg: number) =>
  `${restoreLegsPrefix(jobId, store, phase)}${String(leg).padStart(6, '0')}.json`;

export const uploadPrefix = (jobId: string) => `${UPLOADS}${jobId}/`;

export const jobPrefix = (jobId: string) => `${JOBS}${jobId}/`;
export const jobRecordKey = (jobId: string) => `${JOBS}${jobId}/job.json`;
/**
 * The index of jobs by the day of their creation: an object for each job, and one for each past day. No job has this
 * name: ids have no ".".
 */
export const JOB_DAYS_PREFIX = `${JOBS}.days/`;
export const jobDayKey = (day: string) => `${JOB_DAYS_PREFIX}${day}.json`;
export const jobOfDayKey = (day: string, jobId: string) => `${JOB_DAYS_PREFIX}${day}/${jobId}`;
/** Exists once every job is in the index. */
export const JOB_DAYS_COMPLETE_KEY = `${JOB_DAYS_PREFIX}complete`;
/** What the jobs of days add up to whose records have expired. */
export const JOB_TOTALS_KEY = `${JOB_DAYS_PREFIX}totals`;
export const jobProgressPrefix = (jobId: string) => `${JOBS}${jobId}/progress/`;
/** Which steps of a restore are at work on a store. */
export const leasePrefix = (jobId: string) => `${JOBS}${jobId}/leases/`;
export const restoreLeaseKey = (jobId: string, store: string) => `${leasePrefix(jobId)}${store}.json`;
export const restoreRequestKey = (jobId: string) => `${JOBS}${jobId}/request.json`;
/** What a restore was asked for, what its inspection found, and what it does once it has begun: each is written once. */
export const admittedRestoreKey = (jobId: string) => `${JOBS}${jobId}/restore.json`;
export const inspectionKey = (jobId: string) => `${JOBS}${jobId}/inspection.json`;
export const restorePlanKey = (jobId: string) => `${JOBS}${jobId}/plan.json`;
export const confirmationKey = (jobId: string) => `${JOBS}${jobId}/confirmation.json`;

/** Where a drill loads each store, recorded before anything is created there. */
export const scratchPrefix = (jobId: string) => `${JOBS}${jobId}/scratch/`;
export const scratchKey = (jobId: string, store: string) => `${scratchPrefix(jobId)}${store}.json`;

export const lockKey = (target: string) => `${LOCKS}${target}.json`;

export const runsPrefix = (schedule: string) => `${RUNS}${schedule}/`;
/** Sorts by the time that the run was planned for; one by hand never takes the place of a planned one. */
export const runKey = (schedule: string, at: string, byHand: boolean) =>
  `${runsPrefix(schedule)}${new Date(at).toISOString().replaceAll(':', '-')}${byHand ? '-by-hand' : ''}.json`;
