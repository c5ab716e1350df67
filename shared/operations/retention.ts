import { z } from 'zod';
import { ConflictError } from '../aws/bucket.ts';
import { RETENTION_KEY } from '../aws/keys.ts';
import { RetentionPolicy, WholePolicy } from '../core/retention-policy.ts';
import type { OperationsContext } from './context.ts';

/** The version of the policy of the deployment, if none was set at run time. */
const DEPLOYED = 'deployed';

/** `settings/retention.json`: a policy set at run time, which overrides the one in cdk.json. */
const StoredPolicy = z.object({
  policy: WholePolicy,
  changed_at: z.iso.datetime(),
  changed_by: z.string(),
});

export const RetentionSetting = z.object({
  /** The policy in effect. Absent if it is the one in cdk.json and the caller has AWS credentials only. */
  policy: RetentionPolicy.optional(),
  /** `set`: set at run time; `deployed`: from cdk.json. */
  source: z.enum(['set', 'deployed']),
  /** The policy in cdk.json, to which a reset returns. Absent if the caller does not know it. */
  deployed: RetentionPolicy.optional(),
  changed_at: z.iso.datetime().optional(),
  changed_by: z.string().optional(),
  /** Version of this setting. Pass it with a change, so that the change is refused after a concurrent one. */
  version: z.string(),
});
export type RetentionSetting = z.infer<typeof RetentionSetting>;

export const SetRetentionInput = z.strictObject({
  /** The complete policy. */
  policy: WholePolicy,
  /** The version that the caller has seen. Default: the current one. */
  version: z.string().max(200).optional(),
});
export type SetRetentionInput = z.infer<typeof SetRetentionInput>;

/**
 * The retention policy of the deployment. This is the only place that determines which policy is in effect. A policy
 * that was set but can't be read is an error, never a reason to fall back to another one, which could delete backups
 * that the first keeps.
 */
export async function showRetention({ bucket, config }: OperationsContext): Promise<RetentionSetting> {
  const stored = await bucket.readRecord(RETENTION_KEY, StoredPolicy);
  const deployed = config === undefined ? {} : { deployed: config.retention };
  if (stored) return { ...stored.value, source: 'set', ...deployed, version: stored.etag };
  return {
    ...(config === undefined ? {} : { policy: config.retention }),
    source: 'deployed',
    ...deployed,
    version: DEPLOYED,
  };
}

/** Sets the policy, starting with the next run of retention. Throws ConflictError after a concurrent change. */
export async function setRetention(
  context: OperationsContext,
  { policy, version }: SetRetentionInput,
  by: { requestedBy: string },
): Promise<RetentionSetting> {
  const now = await requireUnchanged(context, version);
  await context.bucket.writeRecord(
    RETENTION_KEY,
    { policy, changed_at: new Date().toISOString(), changed_by: by.requestedBy },
    now.source === 'set' ? { etag: now.version } : { absent: true },
  );
  return showRetention(context);
}

/** Resets the policy to the one in cdk.json. Idempotent. Throws ConflictError after a concurrent change. */
export async function resetRetention(
  context: OperationsContext,
  { version }: { version?: string | undefined } = {},
): Promise<RetentionSetting> {
  const now = await requireUnchanged(context, version);
  if (now.source === 'set') await context.bucket.removeRecord(RETENTION_KEY, now.version);
  return showRetention(context);
}

async function requireUnchanged(
  context: OperationsContext,
  version: string | undefined,
): Promise<Pick<RetentionSetting, 'source' | 'version'>> {
  const now = await showRetention(context);
  if (version === undefined || version === now.version) return now;
  const who = now.source === 'set' ? `by ${now.changed_by} at ${now.changed_at}` : 'back to that of cdk.json';
  throw new ConflictError(`The retention policy was modified concurrently, ${who}.`, {
    remedy: 'Reload it and try again.',
  });
}
