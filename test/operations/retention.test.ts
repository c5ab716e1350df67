import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, expect, test } from '@jest/globals';
import { RETENTION_KEY } from '../../shared/aws/keys.ts';
import { PruneInput, prune } from '../../shared/operations/prune.ts';
import { resetRetention, setRetention, showRetention } from '../../shared/operations/retention.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

let context: Awaited<ReturnType<typeof freshContext>>;
const ada = { requestedBy: 'ada' };
/** The deployed policy if cdk.json has none. */
const DEPLOYED = { keep_last: 7, keep_daily: 0, keep_weekly: 4, keep_monthly: 0, keep_yearly: 0 };
const none = { keep_last: 0, keep_daily: 0, keep_weekly: 0, keep_monthly: 0, keep_yearly: 0 };
const keepLast = (keep_last: number) => ({ ...none, keep_last });

async function catalogueDays(count: number): Promise<void> {
  for (let i = 1; i <= count; i++) {
    const at = new Date(Date.UTC(2026, 0, i, 3));
    await catalogue(context.bucket, { backup_id: idAt(at), created_at: at.toISOString() }, Buffer.alloc(1));
  }
}
const kept = async (input: object) =>
  (await prune(context, PruneInput.parse(input))).backups.filter(
    ({ deleted, action }) => !deleted && action === 'keep',
  ).length;

beforeEach(async () => {
  context = await freshContext({ config: true });
});

test('the policy that was set applies instead of that of cdk.json, until it is reset', async () => {
  await catalogueDays(9);
  expect(await kept({})).toBe(7);
  const set = await setRetention(context, { policy: keepLast(4) }, ada);
  expect(set).toMatchObject({ policy: keepLast(4), source: 'set', changed_by: 'ada', deployed: DEPLOYED });
  expect(await kept({})).toBe(4);
  expect(await kept({ policy: keepLast(2) })).toBe(2);
  // Also if cdk.json is unknown: with AWS credentials only.
  const { config: _, ...direct } = context;
  expect((await prune(direct, PruneInput.parse({}))).policy).toEqual(keepLast(4));

  const reset = await resetRetention(context, { version: set.version });
  expect(reset).toEqual({
    policy: DEPLOYED,
    source: 'deployed',
    deployed: DEPLOYED,
    version: 'deployed',
  });
  expect(await resetRetention(context)).toEqual(reset);
  expect(await kept({})).toBe(7);
  // And again, after it was reset.
  await setRetention(context, { policy: keepLast(3), version: reset.version }, ada);
  expect(await kept({ dry_run: false })).toBe(3);
  expect(await kept({})).toBe(3);
});

test('a change based on an outdated policy is refused and changes nothing', async () => {
  const seen = await showRetention(context);
  await setRetention(context, { policy: keepLast(4), version: seen.version }, ada);
  const late = setRetention(context, { policy: keepLast(1), version: seen.version }, { requestedBy: 'bo' });
  await expect(late).rejects.toMatchObject({
    name: 'ConflictError',
    message: expect.stringContaining('by ada'),
  });
  await expect(resetRetention(context, { version: seen.version })).rejects.toThrow(/modified concurrently/);
  expect((await showRetention(context)).policy).toEqual(keepLast(4));
});

test('of two concurrent changes, one is refused and the other applies as a whole', async () => {
  const { version } = await showRetention(context);
  const results = await Promise.allSettled(
    [2, 5].map((n) => setRetention(context, { policy: keepLast(n), version }, ada)),
  );
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  const won = results[0]?.status === 'fulfilled' ? 2 : 5;
  expect((await showRetention(context)).policy).toEqual(keepLast(won));
});

test.each(['{"policy": {"keep_last": 1}}', 'not JSON'])(
  'an unreadable policy deletes nothing: %s',
  async (Body) => {
    await catalogueDays(9);
    await context.bucket.s3.send(
      new PutObjectCommand({ Bucket: context.bucket.name, Key: RETENTION_KEY, Body }),
    );
    await expect(kept({ dry_run: false })).rejects.toThrow(RETENTION_KEY);
    expect(await kept({ policy: keepLast(9) })).toBe(9);
  },
);
