import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { CatalogRecord } from '../../../shared/catalog/record.ts';
import { SAFETY_TAG } from '../../../shared/catalog/request.ts';
import { acknowledgeWarnings } from '../../../shared/operations/acknowledge.ts';
import type { OperationsContext } from '../../../shared/operations/context.ts';
import type { StoreWarning } from '../../../shared/stores/warning.ts';
import { findWarnings, readWarnings } from '../../../shared/workflows/backup/find-warnings.ts';
import { BackupPlan } from '../../../shared/workflows/backup/plan.ts';
import { writeExportWarnings } from '../../../shared/workflows/backup/warnings.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { idAt } from '../../support/backup-id.ts';
import { catalogue } from '../../support/catalog.ts';
import { makeFilesStore } from '../../support/files-target.ts';

const JOB = 'backup_of_today';
const LEG = { timeLeft: () => 60_000, signal: new AbortController().signal };
const day = (number: number) => idAt(new Date(Date.UTC(2026, 0, number, 3)));
const tally = (count: number) => ({ count, digest: '0'.repeat(64) });
const tallies = (counts: Record<string, number>) => ({
  kv: Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, tally(count)])),
});

let environment: Environment;
let folder: string;

beforeEach(async () => {
  const made = await makeFilesStore('warnings');
  folder = made.folder;
  environment = await freshEnvironment({
    default: {
      profile: 'ngraf-023',
      parameters: { namespace: 'a' },
      stores: { kv: { ...made.store, scope: { include: ['wanted*.json'] } } },
    },
  });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** The warnings of a backup of the key-value data with these counts. */
async function warningsOf(
  counts: Record<string, number>,
  { probed = [], request = {} }: { probed?: StoreWarning[]; request?: object } = {},
) {
  const plan = BackupPlan.parse({
    job_id: JOB,
    backup_id: day(20),
    target: 'default',
    execution_arn: 'arn:today',
    created_at: '2026-01-20T03:00:00.000Z',
    type: 'full',
    request,
    quiesced: false,
    stores: [
      {
        store: 'kv',
        probe: { kind: 'files', version: '1', counts, estimatedBytes: 0, fence: {}, warnings: probed },
        shards: [],
      },
    ],
  });
  await findWarnings(environment, plan, tallies(counts), LEG);
  return readWarnings(environment.bucket, JOB);
}

const earlier = (number: number, counts: Record<string, number>, changes: Partial<CatalogRecord> = {}) =>
  catalogue(environment.bucket, {
    backup_id: day(number),
    stores: ['kv'],
    tallies: tallies(counts),
    ...changes,
  });

describe('the warnings of a backup', () => {
  test('are those of the stores and of all export legs, merged; a repeated leg replaces its own', async () => {
    const left = { code: 'keys-left-out', text: 'Keys are left out.' };
    const write = (segment: string, warnings: StoreWarning[]) =>
      writeExportWarnings(environment.bucket, JOB, segment, { store: 'kv', warnings });
    await write('0000-kv-a-000000', [{ ...left, count: 99, samples: ['of an attempt that was cut off'] }]);
    await write('0000-kv-a-000000', [{ ...left, count: 2, samples: ['a', 'b'] }]);
    await write('0000-kv-a-000001', [{ ...left, count: 1, samples: ['c'] }]);
    const probed = [{ code: 'odd', text: 'Something is odd.' }];
    expect(await warningsOf({ files: 1 }, { probed })).toEqual([
      { store: 'kv', ...probed[0] },
      { store: 'kv', ...left, count: 3, samples: ['a', 'b', 'c'] },
    ]);
  });

  test('include a scope that matches nothing on a server that holds other data, by name', async () => {
    expect(await warningsOf({})).toEqual([]);
    await writeFile(join(folder, 'mistyped.json'), '{}');
    expect(await warningsOf({})).toEqual([
      expect.objectContaining({ store: 'kv', code: 'store-empty', samples: ['mistyped.json'] }),
    ]);
    expect(await warningsOf({ 'keys:docs': 1 })).toEqual([]);
  });

  test('include a store that is empty now and was not in the last good backup', async () => {
    await earlier(1, { 'keys:docs': 5 });
    await earlier(2, {});
    expect(await warningsOf({ files: 0 })).toEqual([
      expect.objectContaining({
        code: 'store-empty',
        text: expect.stringContaining(day(1)),
        samples: ['keys:docs: 0 (before: 5)'],
      }),
    ]);
  });

  test('include each count that has fallen by more than the configured share, but not caches or small ones', async () => {
    const counts = {
      'keys:full_docs': 100,
      'keys:text_chunks': 100,
      'keys:few': 9,
      'keys:llm_response_cache': 100,
    };
    await earlier(1, counts);
    expect(await warningsOf({ ...counts, 'keys:full_docs': 50 })).toEqual([]);
    expect(await warningsOf({ 'keys:full_docs': 49, 'keys:text_chunks': 80 })).toEqual([
      expect.objectContaining({
        code: 'records-fell',
        count: 1,
        samples: ['keys:full_docs: 49 (before: 100)'],
      }),
    ]);
    const target = environment.config.targets.default;
    if (!target) throw new Error('no target');
    target.shrink_warning_percent = 10;
    expect(await warningsOf({ 'keys:full_docs': 95, 'keys:text_chunks': 80 })).toEqual([
      expect.objectContaining({ code: 'records-fell', samples: ['keys:text_chunks: 80 (before: 100)'] }),
    ]);
  });

  test('compare with the newest good backup only: not a suspicious, damaged, partial or safety one', async () => {
    await earlier(1, { 'keys:docs': 100 });
    const fewer = { store: 'kv' as const, code: 'records-fell', text: 'There are fewer.' };
    await earlier(2, { 'keys:docs': 1 }, { warnings: [fewer] });
    await earlier(
      3,
      { 'keys:docs': 1 },
      { verification: { state: 'damaged', at: '2026-01-03T03:04:05.000Z' } },
    );
    await earlier(4, { 'keys:docs': 1 }, { type: 'partial', only: { namespaces: ['docs'] } });
    await earlier(5, { 'keys:docs': 1 }, { tags: [SAFETY_TAG] });
    await earlier(6, { 'keys:docs': 1 }, { target: 'other' });
    const now = { 'keys:docs': 1 };
    expect(await warningsOf(now)).toEqual([
      expect.objectContaining({ code: 'records-fell', text: expect.stringContaining(day(1)) }),
    ]);
    // An operator acknowledges it: from then on, others are compared with that backup.
    const context = { ...environment, stateMachines: { backup: '', restore: '' } } as OperationsContext;
    await acknowledgeWarnings(context, day(2), { acknowledged: true }, { requestedBy: 'somebody' });
    expect(await warningsOf(now)).toEqual([]);
  });

  test('of a safety backup do not compare with earlier backups', async () => {
    await earlier(1, { 'keys:docs': 100 });
    await writeFile(join(folder, 'other.json'), '{}');
    expect(await warningsOf({}, { request: { part_of: { job_id: 'r', execution_arn: 'arn:r' } } })).toEqual(
      [],
    );
  });
});
