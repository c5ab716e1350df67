import {
  ACKNOWLEDGED_KEY,
  CATALOG_CACHE_KEY,
  NOTIFICATIONS,
  OUTBOX,
  RETENTION_KEY,
  STAGING,
  VERIFICATION_STATE_KEY,
  VERIFICATIONS,
  watchStateKey,
} from '../shared/aws/keys.ts';
import { SELFTEST_PREFIX } from '../shared/core/selftest.ts';
import { SERVED_ROLES, type ServedRole } from '../shared/core/store-names.ts';
import type { BucketAccess } from './archive-bucket.ts';

/** Memory at which Lambda gives a function one full virtual CPU, in MB (AWS Lambda developer guide, "Memory"). */
const ONE_CPU_MB = 1769;
/**
 * Default memory of the functions that move data, in MB (see `exporterMemoryMb`): the maximum in a new AWS account
 * (Lambda quotas, "Function memory allocation"), which includes 1.7 virtual CPUs.
 */
export const DATA_MB = 3008;
/** Memory of functions that only process records: enough for the runtime and the SDK; the CPU is not a bottleneck. */
const RECORDS_MB = 512;
/** Lambda's maximum. Steps with legs use all of it, to keep their number low. */
export const LEG_MINUTES = 15;

/** API Gateway waits for at most 30 seconds (Amazon API Gateway quotas, HTTP APIs). */
const API_MINUTES = 0.5;

/** The progress of a job's steps: a step continues from the records of its earlier legs. */
const PROGRESS_RECORDS = 'jobs/*/progress/*';
/** The files of the built-in target of `ngbak selftest`. */
const SELFTEST_FILES = `${SELFTEST_PREFIX}*`;

/** Events that were recorded for notifications and are not delivered yet. */
const NEW_EVENTS = `${OUTBOX}*`;
/** All of notifications: events, deliveries, receivers, and the reported states of targets. */
const EVENTS = `${NOTIFICATIONS}*`;
const WATCH_STATES = watchStateKey('*');

/** The intermediate results of a verification that takes several calls. */
const VERIFICATION_FILES = `${STAGING}${VERIFICATIONS}*`;

/** The function's memory is `exporterMemoryMb` of the configuration. */
const DATA = 'exporterMemoryMb';

/** Resources and permissions of one function. */
export interface FunctionSize {
  readonly description: string;
  /** In MB, or the key of the configuration with the value. */
  readonly memoryMb: number | typeof DATA;
  readonly timeoutMinutes: number;
  /** The roles of the stores whose servers it accesses: it gets their secrets, and runs in the network. */
  readonly roles: readonly ServedRole[];
  readonly bucket: BucketAccess;
  /** Writes to the stores of these roles. */
  readonly writesStores?: true;
  /** Checks whether an execution is still running, to take over or release a lock. */
  readonly describesExecutions?: true;
  /** Starts the rollback of a failed restore. */
  readonly startsRestores?: true;
  /** Calls the hooks that pause and resume writers. */
  readonly callsHooks?: true;
  /** Signs archives, or checks their signatures, if signatures are configured. */
  readonly signatures?: 'sign' | 'check';
  /** Makes copies of backups in other buckets, or reads them, or thaws them as well, if copies are configured. */
  readonly copies?: 'write' | 'read' | 'thaw';
  /** Reads the configuration of running systems, if it is in a separate folder. */
  readonly readsConfiguration?: true;
}

/** Exporters compress on a second CPU while the first one reads, so their memory includes more than one. */
const exporter = (what: string, roles: readonly ServedRole[]): FunctionSize => ({
  description: `Exports one leg of ${what} into a segment of the archive`,
  memoryMb: roles.length === 0 ? RECORDS_MB : DATA,
  timeoutMinutes: LEG_MINUTES,
  roles,
  bucket: {
    read: ['staging/*', PROGRESS_RECORDS, ...(roles.includes('kv') ? [SELFTEST_FILES] : [])],
    write: ['staging/*', 'jobs/*'],
    delete: ['staging/*'],
  },
});

const importer = (what: string, role: ServedRole): FunctionSize => ({
  description: `Clears, loads, verifies or finishes one leg of ${what}`,
  memoryMb: DATA,
  timeoutMinutes: LEG_MINUTES,
  roles: [role],
  writesStores: true,
  bucket: {
    read: [
      ...['backups/*', 'deferred/*', 'uploads/*', 'staging/*', 'jobs/*', 'locks/*'],
      ...(role === 'kv' ? [SELFTEST_FILES] : []),
    ],
    write: [
      ...['staging/*', 'jobs/*'],
      ...(role === 'graph' ? ['deferred/*'] : []),
      ...(role === 'kv' ? [SELFTEST_FILES] : []),
    ],
    ...(role === 'kv' ? { delete: [SELFTEST_FILES] } : {}),
  },
});

/** Every function, with its size and permissions: the files in `functions/`, by name. */
export const SIZES = {
  'plan-backup': {
    description:
      'Validates a backup request, locks the target, measures the stores and divides them into shards',
    memoryMb: ONE_CPU_MB,
    timeoutMinutes: LEG_MINUTES,
    roles: SERVED_ROLES,
    bucket: {
      // Archives too: the data of a store that did not change is carried from one of them.
      read: ['jobs/*', 'locks/*', 'runs/*', 'staging/*', 'backups/*', ACKNOWLEDGED_KEY, SELFTEST_FILES],
      write: ['jobs/*', 'locks/*', 'runs/*', 'staging/*'],
    },
    describesExecutions: true,
    callsHooks: true,
    readsConfiguration: true,
    signatures: 'check',
  },
  'export-graph': exporter('the graph', ['graph']),
  'export-vectors': exporter('the vectors', ['vectors']),
  'export-kv': exporter('the key-value data', ['kv']),
  'export-config': exporter('the configuration', []),
  'check-fences': {
    description: 'Measures every store again after the export and determines the consistency of the copies',
    memoryMb: ONE_CPU_MB,
    timeoutMinutes: LEG_MINUTES,
    roles: SERVED_ROLES,
    bucket: {
      read: ['staging/*', 'backups/*.json', ACKNOWLEDGED_KEY, SELFTEST_FILES],
      write: ['staging/*'],
    },
  },
  'seal-backup': {
    description: "Composes the segments into one archive, on S3's side",
    memoryMb: ONE_CPU_MB,
    timeoutMinutes: LEG_MINUTES,
    roles: [],
    bucket: {
      read: ['staging/*', 'backups/*', PROGRESS_RECORDS],
      write: ['staging/*', 'backups/*.ngbak', 'jobs/*'],
      abort: ['backups/*.ngbak'],
    },
  },
  'verify-backup': {
    description: 'Reads the sealed archive back from S3 and checks every byte and every record',
    memoryMb: DATA,
    timeoutMinutes: LEG_MINUTES,
    roles: [],
    bucket: { read: ['staging/*', 'backups/*', PROGRESS_RECORDS], write: ['staging/*', 'jobs/*'] },
  },
  'catalog-backup': {
    description: 'Signs the archive and writes the catalog record, which adds the backup to the catalog',
    memoryMb: RECORDS_MB,
    timeoutMinutes: 2,
    roles: [],
    bucket: {
      read: ['staging/*', 'backups/*.json', ACKNOWLEDGED_KEY],
      write: ['backups/*.json'],
      lock: ['backups/*'],
      tag: ['backups/*.ngbak'],
    },
    signatures: 'sign',
  },
  'copy-backup': {
    description: 'Copies a backup to another bucket, within S3',
    memoryMb: RECORDS_MB,
    timeoutMinutes: LEG_MINUTES,
    roles: [],
    // The state of a copy is part of the catalog record.
    bucket: { read: ['backups/*'], write: ['backups/*.json'] },
    copies: 'write',
  },
  'admit-restore': {
    description: 'Assigns an upload or request to the job of exactly one execution',
    memoryMb: RECORDS_MB,
    timeoutMinutes: 2,
    roles: [],
    bucket: {
      read: [
        ...['jobs/*', 'locks/*', 'runs/*', 'backups/*.json', 'deferred/*'],
        ...[CATALOG_CACHE_KEY, ACKNOWLEDGED_KEY],
      ],
      // A scheduled drill records its run and takes its lock, or is skipped.
      write: ['jobs/*', 'locks/*', 'runs/*'],
    },
    describesExecutions: true,
  },
  'thaw-archive': {
    description: 'Requests that an archive in cold storage be thawed, and reports whether it is readable',
    memoryMb: RECORDS_MB,
    timeoutMinutes: 2,
    roles: [],
    bucket: { read: ['backups/*.ngbak', 'jobs/*'], write: ['jobs/*'], thaw: ['backups/*.ngbak'] },
  },
  'inspect-restore': {
    description: 'Verifies an archive and compares it with the target; writes to no store',
    memoryMb: DATA,
    timeoutMinutes: LEG_MINUTES,
    roles: SERVED_ROLES,
    bucket: {
      read: ['backups/*', 'deferred/*', 'uploads/*', 'staging/*', 'jobs/*', SELFTEST_FILES],
      write: ['staging/*', 'jobs/*'],
    },
    readsConfiguration: true,
    signatures: 'check',
  },
  'await-confirmation': {
    description: 'Records the token with which an operator confirms or rejects a restore',
    memoryMb: RECORDS_MB,
    timeoutMinutes: 2,
    roles: [],
    bucket: { read: ['jobs/*', EVENTS], write: ['jobs/*', NEW_EVENTS] },
  },
  'begin-restore': {
    description: "Takes the target's lock and pauses its writers: from here on, a restore may write",
    memoryMb: RECORDS_MB,
    timeoutMinutes: LEG_MINUTES,
    roles: [],
    bucket: {
      read: ['jobs/*', 'locks/*', EVENTS],
      write: ['jobs/*', 'locks/*', NEW_EVENTS],
      delete: ['locks/*'],
    },
    describesExecutions: true,
    callsHooks: true,
  },
  'restore-graph': importer('the graph', 'graph'),
  'restore-vectors': importer('the vectors', 'vectors'),
  'restore-kv': importer('the key-value data', 'kv'),
  'close-restore': {
    description: 'Records the result of a restore and its verification',
    memoryMb: RECORDS_MB,
    timeoutMinutes: 2,
    roles: [],
    bucket: { read: ['jobs/*', 'staging/*'] },
  },
  janitor: {
    description: 'Cleans up after every execution of either workflow, however it ended',
    memoryMb: ONE_CPU_MB,
    timeoutMinutes: LEG_MINUTES,
    roles: SERVED_ROLES,
    writesStores: true,
    bucket: {
      read: ['jobs/*', 'locks/*', 'staging/*', 'backups/*', 'drills/*', EVENTS],
      write: ['jobs/*', 'locks/*', 'drills/*', NEW_EVENTS],
      delete: [
        ...['jobs/*', 'locks/*', 'staging/*', 'uploads/*'],
        ...['backups/*.ngbak', 'backups/*.ngbak.sig'],
      ],
      // Includes uploads of jobs that never started: the janitor removes those that belong to no job.
      abort: ['backups/*.ngbak', 'deferred/*', 'staging/*', 'uploads/*'],
    },
    describesExecutions: true,
    startsRestores: true,
    callsHooks: true,
  },
  'apply-retention': {
    description: 'Deletes the backups that no retention rule keeps',
    memoryMb: RECORDS_MB,
    timeoutMinutes: LEG_MINUTES,
    roles: [],
    bucket: {
      read: ['backups/*', 'jobs/*', 'locks/*', CATALOG_CACHE_KEY, RETENTION_KEY, ACKNOWLEDGED_KEY],
      write: ['backups/*.json', CATALOG_CACHE_KEY],
      delete: ['backups/*'],
    },
  },
  'watch-backups': {
    description: 'Reports whether each target is recoverable, and its newest good backup too old',
    memoryMb: RECORDS_MB,
    timeoutMinutes: 2,
    roles: [],
    bucket: {
      // Reads a byte of each archive that a restore would read, to check that it is readable.
      read: [
        ...['backups/*', 'jobs/*', 'locks/*', 'drills/*', 'runs/*', EVENTS],
        ...[CATALOG_CACHE_KEY, ACKNOWLEDGED_KEY],
      ],
      write: [CATALOG_CACHE_KEY, NEW_EVENTS, WATCH_STATES],
    },
  },
  'verify-stored': {
    description: 'Verifies the archives and copies whose verification is oldest',
    memoryMb: DATA,
    timeoutMinutes: LEG_MINUTES,
    roles: [],
    bucket: {
      read: [
        ...['backups/*', CATALOG_CACHE_KEY, ACKNOWLEDGED_KEY, VERIFICATION_FILES],
        VERIFICATION_STATE_KEY,
      ],
      write: ['backups/*.json', VERIFICATION_FILES, VERIFICATION_STATE_KEY],
      delete: [VERIFICATION_FILES],
    },
    signatures: 'check',
    copies: 'read',
  },
  notify: {
    description: 'Delivers notifications to every receiver',
    memoryMb: RECORDS_MB,
    timeoutMinutes: 5,
    roles: [],
    bucket: {
      // The verdict in each message is that of watch-backups.
      read: ['backups/*', 'jobs/*', 'locks/*', 'drills/*', CATALOG_CACHE_KEY, ACKNOWLEDGED_KEY, EVENTS],
      write: [CATALOG_CACHE_KEY, EVENTS],
      delete: [NEW_EVENTS],
    },
  },
  api: {
    description: 'Answers the HTTP API',
    memoryMb: ONE_CPU_MB,
    timeoutMinutes: API_MINUTES,
    roles: [],
    // Besides records, the permissions of its presigned URLs are those of the function.
    bucket: {
      read: [
        ...['backups/*', 'jobs/*', 'locks/*', 'runs/*', 'drills/*', EVENTS, VERIFICATION_FILES],
        ...[CATALOG_CACHE_KEY, RETENTION_KEY, ACKNOWLEDGED_KEY],
      ],
      write: [
        ...['backups/*.json', 'jobs/*', 'uploads/*', NEW_EVENTS, VERIFICATION_FILES],
        ...[CATALOG_CACHE_KEY, RETENTION_KEY, ACKNOWLEDGED_KEY],
      ],
      delete: ['backups/*', 'uploads/*', VERIFICATION_FILES, RETENTION_KEY],
      inventory: true,
      thaw: ['backups/*.ngbak'],
    },
    signatures: 'check',
    // Verifies and thaws them.
    copies: 'thaw',
  },
} as const satisfies Record<string, FunctionSize>;

export type FunctionName = keyof typeof SIZES;
export const FUNCTION_NAMES = Object.keys(SIZES) as FunctionName[];

/** The functions that record or deliver events for notifications. */
export const POSTING: readonly FunctionName[] = FUNCTION_NAMES.filter((name) =>
  (SIZES[name].bucket as BucketAccess).write?.some((pattern) => pattern === NEW_EVENTS || pattern === EVENTS),
);
