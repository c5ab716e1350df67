import { beforeEach, expect, test } from '@jest/globals';
import { catalogKey } from '../../shared/aws/keys.ts';
import { SAFETY_TAG } from '../../shared/catalog/request.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { describeDeployment } from '../../shared/operations/describe-deployment.ts';
import { overview } from '../../shared/operations/overview.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

const NOW = Date.parse('2026-03-10T12:00:00Z');
const at = (daysAgo: number) => new Date(NOW - daysAgo * 86_400_000);
let context: OperationsContext;

beforeEach(async () => {
  context = await freshContext({ config: true });
});

const make = (daysAgo: number, changes: object = {}) =>
  catalogue(context.bucket, {
    backup_id: idAt(at(daysAgo)),
    created_at: at(daysAgo).toISOString(),
    ...changes,
  });

test('the overview shows the newest good backup of each target: full, valid, and not a safety backup', async () => {
  await make(5);
  await make(4, { type: 'partial', stores: ['kv'] });
  await make(3, {
    verification: { state: 'damaged', at: at(3).toISOString(), problems: ['x'] },
  });
  await make(2, { tags: [SAFETY_TAG] });
  await make(100, { target: 'old' });
  const { targets, history } = await overview(context, NOW);
  const target = (name: string) => targets.find((found) => found.target === name);
  expect(target('default')).toMatchObject({
    backups: 4,
    bytes: 4000,
    damaged: 1,
    newest: { backup_id: idAt(at(2)) },
    newest_good: { backup_id: idAt(at(5)) },
  });
  expect(target('old')).toMatchObject({ backups: 1, newest_good: { backup_id: idAt(at(100)) } });
  expect(history.map(({ backup_id }) => backup_id)).toEqual([2, 3, 4, 5].map((days) => idAt(at(days))));
  expect(history.map(({ verified }) => verified)).toEqual([true, false, true, true]);
});

test('a configured target without backups is listed; an unreadable record is counted', async () => {
  await context.bucket.writeRecord(catalogKey(idAt(at(1))), { spoiled: true });
  const { targets, unreadable } = await overview(context, NOW);
  expect(targets).toEqual(
    Object.keys(context.config?.targets ?? {}).map((target) => ({
      target,
      backups: 0,
      bytes: 0,
      damaged: 0,
      with_warnings: 0,
      allowed_age_hours: 48,
    })),
  );
  expect(targets.length).toBeGreaterThan(0);
  expect(unreadable).toBe(1);
});

test('a deployment describes its targets and their limitations, and no address or secret', () => {
  const description = describeDeployment(context);
  const text = JSON.stringify(description);
  for (const target of Object.values(context.config?.targets ?? {})) {
    for (const store of Object.values(target.stores)) {
      if (store) expect(text).not.toContain(store.secret);
    }
  }
  expect(description.targets.length).toBeGreaterThan(0);
  expect(description.upload).toEqual({ max_bytes: 48.828125 * 1024 ** 4, max_single_bytes: 5 * 1024 ** 3 });
  for (const { stores, hooks, limits } of description.targets) {
    expect(stores).toContainEqual({ store: 'config', kind: 'config' });
    const words = limits.join(' ');
    expect(words.includes('no hooks are configured')).toBe(!hooks);
    for (const missing of ['graph', 'vectors', 'kv'].filter(
      (name) => !stores.some(({ store }) => store === name),
    )) {
      expect(words).toContain(`"${missing}" is neither backed up nor restored`);
    }
  }
});
