import { z } from 'zod';
import { InvalidInputError } from './errors.ts';
import { FilesLocation } from './files-location.ts';
import { Id } from './ids.ts';
import { OBJECT_BYTES_MAX } from './limits.ts';
import { RetentionPolicy } from './retention-policy.ts';
import { SELFTEST_SETTINGS, SELFTEST_TARGET } from './selftest.ts';

/** A store of a target: which adapter reaches it, where its credentials are, which part of the server is ours. */
export const StoreConfig = z.strictObject({
  /** Adapter kind, as listed in the registry: `neo4j`, `qdrant`, `redis`, `files`. */
  kind: z.string().min(1),
  /** ARN or name of the Secrets Manager secret that holds the adapter's connection as JSON. */
  secret: z.string().min(1),
  /** Overrides of the scope that the profile derives, in the adapter's own terms. No secrets. */
  scope: z.record(z.string(), z.json()).optional(),
  /** Read-only questions asked before and after a restore, in the adapter's own terms; docs/restore.md shows them. */
  smoke: z.array(z.json()).min(1).max(8).optional(),
  /** How fast a restore loads at most, in uncompressed bytes of the archive a second, to leave the server room. */
  load_bytes_per_second: z.number().int().min(1024).optional(),
});
export type StoreConfig = z.infer<typeof StoreConfig>;

/** Who is asked to pause or resume the writers of a target: a Lambda function, or a webhook with a signed body. */
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

/** Name of a file right in a folder. */
const FileName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^(?!\.{1,2}$)[^/\0]+$/, 'must be the name of a file, without a folder');

/** Where files lie that configure the running system, apart from its data. */
export const ConfigurationFolder = z.strictObject({
  /** `s3://bucket/prefix`, or a folder of the mounted file system. */
  location: FilesLocation,
  /** Region of the bucket, if it differs from that of the deployment. */
  region: z.string().min(1).max(30).optional(),
  /** Names of files there that are read beside those that the profile knows. */
  files: z.array(FileName).min(1).max(20).optional(),
});
export type ConfigurationFolder = z.infer<typeof ConfigurationFolder>;

/** A knowledge base that can be backed up and restored: one named set of stores. */
export const TargetConfig = z.strictObject({
  /** How the GraphRAG system lays out its data; see docs/profiles.md. */
  profile: z.string().min(1).default('custom'),
  /** Parameters of the profile, such as `{"namespace": "demo"}`. */
  parameters: z.record(z.string(), z.json()).default({}),
  stores: z.strictObject({
    graph: StoreConfig.optional(),
    vectors: StoreConfig.optional(),
    kv: StoreConfig.optional(),
  }),
  /**
   * A backup gets a warning where a count of records is smaller than in the last good backup by more than this, in
   * percent.
   */
  shrink_warning_percent: z.number().min(1).max(100).default(50),
  /**
   * The targets whose drills restore into this one. Its stores are for that alone: they are empty between drills, and
   * neither backed up nor restored into otherwise.
   */
  drills_of: z.array(Id).min(1).max(50).optional(),
  /** Called before the stores are read or written, and afterwards whatever happened. */
  hooks: HooksConfig.optional(),
  /** Version of the GraphRAG system that uses the target, such as `1.5.2`: part of every backup, compared by restores. */
  system_version: z.string().min(1).max(100).optional(),
  /**
   * What the running system's own configuration is read from, beside the files that the profile knows: names of files in
   * the folder of a files store, or of keys in Redis (text or a hash). Secrets are masked.
   */
  configuration_from: z.array(z.string().min(1).max(512)).max(20).optional(),
  /**
   * A folder with the running system's own configuration (`settings.yaml`, `.env`), for systems that keep their data elsewhere:
   * the files that the profile knows, and others by name. Secrets are masked.
   */
  configuration_folder: ConfigurationFolder.optional(),
  /** The system's effective configuration, saved in every backup for reference. Secrets are masked. */
  configuration: z.record(z.string(), z.json()).default({}),
});
export type TargetConfig = z.infer<typeof TargetConfig>;

/** S3 Object Lock for archives. One of mode `compliance` cannot be ended early. */
export const ObjectLock = z.strictObject({
  mode: z.enum(['governance', 'compliance']),
  days: z.number().int().min(1).max(36_500),
});

/** What the functions know about the world, without a secret: environment variable `NGBAK_CONFIG`. */
export const NgbakConfig = z.strictObject({
  targets: z.record(Id, TargetConfig),
  /**
   * How many backups of each target are kept, unless another policy was set since. Weekly backups as well, so that a burst of new ones does not push out all
   * that is older.
   */
  retention: RetentionPolicy.prefault({ keep_weekly: 4 }),
  /** Has S3 keep each archive and its record for so many days from the beginning of the backup. Left out: no lock. */
  object_lock: ObjectLock.optional(),
  /** How old the newest good backup of a target may be, in hours. Left out: derived from the schedules. */
  backup_age_hours: z.number().int().min(1).optional(),
  /** Largest archive that may be uploaded for a restore, in bytes. */
  upload_bytes_max: z.number().int().min(1).max(OBJECT_BYTES_MAX).default(OBJECT_BYTES_MAX),
});
export type NgbakConfig = z.infer<typeof NgbakConfig>;

/** The names of the targets that are backed up: all but those that are there for drills. */
export function backedUpTargets({
  targets,
}: {
  readonly targets: Readonly<Record<string, { readonly drills_of?: readonly string[] | undefined }>>;
}): string[] {
  return Object.entries(targets).flatMap(([name, { drills_of }]) => (drills_of ? [] : [name]));
}

/**
 * The configured target of that name, or the built-in one of `ngbak selftest`. Throws InvalidInputError that lists the
 * names that exist.
 */
export function findTarget(config: NgbakConfig, name: string): TargetConfig {
  const target = Object.hasOwn(config.targets, name) ? config.targets[name] : undefined;
  if (target) return target;
  if (name === SELFTEST_TARGET) return TargetConfig.parse(SELFTEST_SETTINGS);
  throw new InvalidInputError(`There is no target "${name}" in this deployment.`, {
    remedy: `Use one of: ${Object.keys(config.targets).join(', ')}; or add it under "targets" in cdk.json and deploy.`,
  });
}
