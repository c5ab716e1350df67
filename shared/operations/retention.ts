import { z } from 'zod';
import { ConflictError } from '../aws/bucket.ts';
import { RETENTION_KEY } from '../aws/keys.ts';
import { RetentionPolicy, WholePolicy } from '../core/retention-policy.ts';
import type { OperationsContext } from './context.ts';

/** The version of a policy that nobody has set: that of the deployment. */
const DEPLOYED = 'deployed';

/** `settings/retention.json`: the policy that somebody set, which counts instead of that of cdk.json. */
const StoredPolicy = z.object({
  policy: WholePolicy,
  changed_at: z.iso.datetime(),
  changed_by: z.string(),
});

export const RetentionSetting = z.object({
  /** What counts. Absent where it is that of cdk.json and the caller has AWS credentials only. */
  policy: RetentionPolicy.optional(),
  /** `set`: by somebody, while it runs; `deployed`: by cdk.json. */
  source: z.enum(['set', 'deployed']),
  /** What cdk.json says, and what a reset goes back to. Absent where the caller does not know it. */
  deployed: RetentionPolicy.optional(),
  changed_at: z.iso.datetime().optional(),
  changed_by: z.string().optional(),
  /** Of this setting: hand it back with a change, which is refused when somebody else has made one since. */
  version: z.string(),
});
export type RetentionSetting = z.infer<typeof RetentionSetting>;

export const SetRetentionInput = z.strictObject({
  /** The whole policy. */
  policy: WholePolicy,
  /** The version that the caller has seen; left out: whatever it is now. */
  version: z.string().max(200).optional(),
});
export type SetRetentionInput = z.infer<typeof SetRetentionInput>;

/**
 * The retention policy of the deployment: the only place that says which one counts. One that was set and can't be read
 * is an error, never a reason to fall back to another: that could delete what it keeps.
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

/** Sets the policy. It counts from the next run of retention on. Throws ConflictError where it was changed meanwhile. */
export async function setRetention(
  context: OperationsContext,
  { policy, version }: SetRetentionInput,
  by: { requestedBy: string },
): Promise<RetentionSetting> {
  const now = await unchanged(context, version);
  await context.bucket.writeRecord(
    RETENTION_KEY,
    { policy, changed_at: new Date().toISOString(), changed_by: by.requestedBy },
    now.source === 'set' ? { etag: now.version } : { absent: true },
  );
  return showRetention(context);
}

/** Lets the policy of cdk.json count again. Idempotent. Throws ConflictError where it was changed meanwhile. */
export async function resetRetention(
  context: OperationsContext,
  { version }: { version?: string | undefined } = {},
): Promise<RetentionSetting> {
  const now = await unchanged(context, version);
  if (now.source === 'set') await context.bucket.removeRecord(RETENTION_KEY, now.version);
  return showRetention(context);
}

async function unchanged(
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
