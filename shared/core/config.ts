import { z } from 'zod';
import { CopiesConfig, ObjectLock } from './copies.ts';
import { InvalidInputError } from './errors.ts';
import { FilesLocation } from './files-location.ts';
import { Id } from './ids.ts';
import { OBJECT_BYTES_MAX } from './limits.ts';
import { NotifyConfig } from './notify-config.ts';
import { FullReading } from './reading.ts';
import { RetentionPolicy } from './retention-policy.ts';
import { SELFTEST_SETTINGS, SELFTEST_TARGET } from './selftest.ts';
import { ReadableClass, StorageClass } from './storage-class.ts';
import { byServedStore } from './store-name.ts';

/** A store of a target: its adapter, its credentials, and the part of the server that belongs to the target. */
export const StoreConfig = z.strictObject({
  /** Adapter kind, as listed in the registry: `neo4j`, `qdrant`, `redis`, `files`. */
  kind: z.string().min(1),
  /** ARN or name of the Secrets Manager secret with the adapter's connection as JSON. */
  secret: z.string().min(1),
  /** Overrides parts of the scope that the profile derives, in the adapter's own terms. Contains no secrets. */
  scope: z.record(z.string(), z.json()).optional(),
  /**
   * Smoke checks: read-only queries that are run before and after a restore, in the adapter's own terms
   * (docs/restore.md).
   */
  smoke: z.array(z.json()).min(1).max(8).optional(),
  /**
   * Maximum load rate of a restore, in uncompressed bytes of the archive per second, to leave capacity for other
   * clients of the server.
   */
  load_bytes_per_second: z.number().int().min(1024).optional(),
});
export type StoreConfig = z.infer<typeof StoreConfig>;

/** Pauses and resumes the writers of a target: a Lambda function, or a webhook with a signed body. */
export const Hook = z.union([
  z.strictObject({ lambda: z.string().startsWith('arn:') }),
  z.strictObject({
    url: z.url({ protocol: /^https$/ }),
    /** ARN or name of the secret that holds `{"signing_key": "…"}`. */
    secret: z.string().min(1),
  }),
]);
export type Hook = z.infer<typeof Hook>;

export const HooksConfig = z.strictObject({
  pause: Hook,
  resume: Hook,
  /** How long one call may take, in seconds. */
  timeout_seconds: z.number().int().min(1).max(120).default(30),
});
export type HooksConfig = z.infer<typeof HooksConfig>;

/** Name of a file directly in a folder. */
const FileName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^(?!\.{1,2}$)[^/\0]+$/, 'must be the name of a file, without a folder');

/** The folder of the files that configure the running system, if it is separate from the data. */
export const ConfigurationFolder = z.strictObject({
  /** `s3://bucket/prefix`, or a folder of the mounted file system. */
  location: FilesLocation,
  /** Region of the bucket, if it differs from that of the deployment. */
  region: z.string().min(1).max(30).optional(),
  /** Names of files there that are read in addition to those that the profile lists. */
  files: z.array(FileName).min(1).max(20).optional(),
});
export type ConfigurationFolder = z.infer<typeof ConfigurationFolder>;

/** A knowledge base that can be backed up and restored: one named set of stores. */
export const TargetConfig = z.strictObject({
  /** How the GraphRAG system lays out its data; see docs/profiles.md. */
  profile: z.string().min(1).default('custom'),
  /** Parameters of the profile, such as `{"namespace": "demo"}`. */
  parameters: z.record(z.string(), z.json()).default({}),
  /** By name. Its profile decides of which roles it may have several. */
  stores: byServedStore(StoreConfig),
  /**
   * A backup gets a warning if a count of records is smaller than in the last good backup by more than this
   * percentage.
   */
  shrink_warning_percent: z.number().min(1).max(100).default(50),
  /** How often backups read a store that provably did not change, instead of copying it from an earlier archive. */
  full_reading: FullReading.prefault({}),
  /**
   * The targets whose drills restore into this one. Its stores are reserved for drills: they are empty between
   * drills, and otherwise neither backed up nor restored into.
   */
  drills_of: z.array(Id).min(1).max(50).optional(),
  /** Called before the stores are read or written, and afterwards in any case. */
  hooks: HooksConfig.optional(),
  /**
   * Version of the GraphRAG system that uses the target, such as `1.5.2`. Recorded in every backup and compared by
   * restores.
   */
  system_version: z.string().min(1).max(100).optional(),
  /**
   * Where the running system's own configuration is read from, in addition to the files that the profile lists: names
   * of files in the folder of a files store, or of keys in Redis (text or a hash). Secrets are masked.
   */
  configuration_from: z.array(z.string().min(1).max(512)).max(20).optional(),
  /**
   * A folder with the running system's own configuration (`settings.yaml`, `.env`), for systems that keep their data
   * elsewhere: the files that the profile lists, and others by name. Secrets are masked.
   */
  configuration_folder: ConfigurationFolder.optional(),
  /** The system's effective configuration, saved in every backup for reference. Secrets are masked. */
  configuration: z.record(z.string(), z.json()).default({}),
});
export type TargetConfig = z.infer<typeof TargetConfig>;

/** Signatures of archives. The key is a separate setting: its ARN is known only to the deployed functions. */
export const Signatures = z.strictObject({
  /** Restores, drills included, refuse archives without a valid signature. */
  required: z.boolean().default(false),
  /** Public keys in PEM of other deployments and of former keys, whose signatures are valid as well. */
  trusted_keys: z.array(z.string().min(1).max(1000)).max(10).default([]),
});

/** The configuration of the functions, in the environment variable `NGBAK_CONFIG`. Contains no secrets. */
export const NgbakConfig = z.strictObject({
  targets: z.record(Id, TargetConfig),
  /**
   * How many backups of each target are kept, unless another policy was set later. The default includes weekly
   * backups, so that a burst of new backups does not displace all older ones.
   */
  retention: RetentionPolicy.prefault({ keep_weekly: 4 }),
  /** S3 Object Lock of each archive and its record, in days from the start of the backup. If omitted: no lock. */
  object_lock: ObjectLock.optional(),
  /** Storage class in which archives are created. Safety backups and self-tests are always created in STANDARD. */
  storage_class: ReadableClass.default('STANDARD'),
  /** The classes that lifecycle rules move archives to, in days from their creation. */
  transitions: z.array(z.strictObject({ days: z.int().positive(), storage_class: StorageClass })).default([]),
  /** Signatures of archives. If omitted: archives are not signed, and signatures are not checked. */
  signatures: Signatures.optional(),
  /** How many archives and copies are verified on a schedule, each day. If omitted: none. */
  verification: z.strictObject({ per_day: z.number().int().min(1).max(24) }).optional(),
  /** Other buckets that get a copy of each backup, by name. If omitted: none. */
  copies: CopiesConfig.optional(),
  /** Maximum age of the newest good backup of a target, in hours. If omitted: derived from the schedules. */
  backup_age_hours: z.number().int().min(1).optional(),
  /** Largest archive that may be uploaded for a restore, in bytes. */
  upload_bytes_max: z.number().int().min(1).max(OBJECT_BYTES_MAX).default(OBJECT_BYTES_MAX),
  /** The receivers of notifications. If omitted: there are none. */
  notify: NotifyConfig.optional(),
});
export type NgbakConfig = z.infer<typeof NgbakConfig>;

/** The names of the targets that are backed up: all except those reserved for drills. */
export function backedUpTargets({
  targets,
}: {
  readonly targets: Readonly<Record<string, { readonly drills_of?: readonly string[] | undefined }>>;
}): string[] {
  return Object.entries(targets).flatMap(([name, { drills_of }]) => (drills_of ? [] : [name]));
}

/**
 * The configured target with this name, or the built-in target of `ngbak selftest`. Throws InvalidInputError that
 * lists the existing names.
 */
export function findTarget(config: NgbakConfig, name: string): TargetConfig {
  const target = Object.hasOwn(config.targets, name) ? config.targets[name] : undefined;
  if (target) return target;
  if (name === SELFTEST_TARGET) return TargetConfig.parse(SELFTEST_SETTINGS);
  throw new InvalidInputError(`There is no target "${name}" in this deployment.`, {
    remedy: `Use one of: ${Object.keys(config.targets).join(', ')}; or add it under "targets" in cdk.json and deploy.`,
  });
}
