import { beforeEach, describe, expect, test } from '@jest/globals';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { type BackupWarning, warningId } from '../../shared/catalog/warnings.ts';
import { AcknowledgeInput, acknowledgeWarnings } from '../../shared/operations/acknowledge.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { checkHealth } from '../../shared/operations/health.ts';
import { ListBackupsInput, listBackups } from '../../shared/operations/list-backups.ts';
import { metricsText } from '../../shared/operations/metrics.ts';
import { overview } from '../../shared/operations/overview.ts';
import { PruneInput, prune } from '../../shared/operations/prune.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000);
const LEFT_OUT: BackupWarning = {
  store: 'kv',
  code: 'keys-left-out',
  text: 'Keys are left out.',
  count: 3,
  samples: ['a'],
};
const EMPTY: BackupWarning = { store: 'graph', code: 'store-empty', text: 'The scope matches no records.' };
const by = { requestedBy: 'somebody' };
let context: OperationsContext;

beforeEach(async () => {
  context = await freshContext({ config: true });
});

const make = (hours: number, changes: Partial<CatalogRecord> = {}) =>
  catalogue(
    context.bucket,
    { backup_id: idAt(hoursAgo(hours)), created_at: hoursAgo(hours).toISOString(), ...changes },
    Buffer.from('archive'),
  );
const list = async (input: object = {}) =>
  (await listBackups(context, ListBackupsInput.parse(input))).backups.map(
    ({ state, open_warnings, good }) => ({
      state,
      open_warnings,
      good,
    }),
  );
const acknowledge = (id: string, input: object = {}) =>
  acknowledgeWarnings(context, id, AcknowledgeInput.parse(input), by);
const recoverable = async () =>
  (await checkHealth(context)).checks.find(({ name }) => name.startsWith('newest backup'))?.ok;

describe('a backup with warnings', () => {
  test('is listed and shown with them, and is still a good one if only something small is missing', async () => {
    const { backup_id } = await make(1, { warnings: [LEFT_OUT] });
    await make(2);
    expect(await list()).toEqual([
      { state: 'complete_with_warnings', open_warnings: 1, good: true },
      { state: 'complete', open_warnings: 0, good: true },
    ]);
    expect(await list({ state: 'complete' })).toHaveLength(1);
    expect(await showBackup(context, backup_id)).toMatchObject({
      state: 'complete_with_warnings',
      warnings: [{ ...LEFT_OUT, id: warningId(LEFT_OUT) }],
    });
    expect(await metricsText(context)).toContain('ngbak_last_backup_warnings{target="default"} 1');
    const { targets } = await overview(context);
    expect(targets.find(({ target }) => target === 'default')).toMatchObject({
      with_warnings: 1,
      newest_good: { open_warnings: 1 },
    });
  });

  test('is complete once they are acknowledged for its target, as is every other backup with the same warnings', async () => {
    const { backup_id } = await make(1, { warnings: [LEFT_OUT, { ...LEFT_OUT, code: 'other' }] });
    await make(2, { warnings: [{ ...LEFT_OUT, count: 4 }] });
    await make(3, { target: 'other', warnings: [LEFT_OUT] });
    const shown = await acknowledge(backup_id, { warnings: ['keys-left-out'], note: 'scratch keys' });
    expect(shown.warnings).toMatchObject([{ acknowledged: { by: 'somebody', note: 'scratch keys' } }, {}]);
    expect((await list()).map(({ open_warnings }) => open_warnings)).toEqual([1, 0, 1]);
    expect((await acknowledge(backup_id)).state).toBe('complete');
    expect(await acknowledge(backup_id, { acknowledged: false })).toMatchObject({
      state: 'complete_with_warnings',
      open_warnings: 2,
    });
  });

  test('can be acknowledged by its own warnings only, by several people at once', async () => {
    const { backup_id } = await make(1, { warnings: [LEFT_OUT] });
    const other = await make(2, { warnings: [EMPTY] });
    await expect(acknowledge(backup_id, { warnings: ['store-empty'] })).rejects.toThrow(
      'has no warning "store-empty"',
    );
    await Promise.all([acknowledge(backup_id), acknowledge(other.backup_id)]);
    expect((await list()).map(({ open_warnings }) => open_warnings)).toEqual([0, 0]);
  });

  test('can be read from records of earlier versions, which have no warnings', async () => {
    const { warnings: _, ...old } = CatalogRecord.parse(await make(1));
    expect(old).not.toHaveProperty('warnings');
    expect(await list()).toEqual([{ state: 'complete', open_warnings: 0, good: true }]);
  });
});

describe('an empty or suspiciously small backup', () => {
  test('does not make a target recoverable until an operator acknowledges it', async () => {
    await make(100);
    const { backup_id } = await make(1, { warnings: [EMPTY] });
    expect(await recoverable()).toBe(false);
    await acknowledge(backup_id);
    expect(await recoverable()).toBe(true);
    expect(await metricsText(context)).toContain('ngbak_last_backup_warnings{target="default"} 0');
  });

  test('without a single record is never a good one', async () => {
    await make(1, { tallies: { graph: { nodes: { count: 0, digest: '0'.repeat(64) } } } });
    expect(await list()).toEqual([{ state: 'complete', open_warnings: 0, good: false }]);
    expect(await recoverable()).toBe(false);
  });

  test('displaces no good backup in retention, however many follow', async () => {
    const good = await make(300);
    for (let hours = 30; hours > 0; hours--) await make(hours, { warnings: [EMPTY], tallies: {} });
    const { backups } = await prune(context, PruneInput.parse({ dry_run: false, policy: { keep_last: 7 } }));
    const kept = backups.filter(({ action }) => action === 'keep');
    expect(kept).toHaveLength(8);
    expect(kept.at(-1)).toMatchObject({
      backup_id: good.backup_id,
      reasons: ['the newest good backup', 'number 1 of the last 7'],
    });
  });
});
