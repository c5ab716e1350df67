import { describe, expect, test } from '@jest/globals';
import { describeChanges } from '../../../shared/stores/proof.ts';
import type { BackupPlan } from '../../../shared/workflows/backup/plan.ts';
import { requireCompleteness } from '../../../shared/workflows/backup/seal.ts';

describe('the comparison of two fences', () => {
  test('lists changed, added and deleted records', () => {
    expect(describeChanges({ a: '1', b: '2', c: '3' }, { a: '1', b: '4', d: '5' })).toEqual([
      'b: 2 → 4',
      'c: 3 → absent',
      'd: absent → 5',
    ]);
  });

  test('is empty if nothing changed', () => {
    expect(describeChanges({ a: '1' }, { a: '1' })).toEqual([]);
  });

  test('lists at most twenty changes and counts the rest', () => {
    const after = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`key${i}`, 'new']));
    const changes = describeChanges({}, after);
    expect(changes).toHaveLength(21);
    expect(changes.at(-1)).toBe('and 30 more');
  });
});

describe('an export of unchanged stores', () => {
  const plan = {
    stores: [{ store: 'graph', probe: { counts: { nodes: 3, relationships: 0 } } }],
  } as unknown as BackupPlan;
  const tally = (count: number) => ({ count, digest: '0'.repeat(64) });

  test('is complete if every count was exported; zero records of a kind are not missing', () => {
    expect(() => requireCompleteness(plan, { graph: { nodes: tally(3) } })).not.toThrow();
  });

  test.each([[2], [4], [0]])('is refused with %i of 3 nodes', (count) => {
    expect(() => requireCompleteness(plan, { graph: { nodes: tally(count) } })).toThrow(
      `graph nodes: ${count} exported of 3`,
    );
  });

  test('is refused if a whole store is missing', () => {
    expect(() => requireCompleteness(plan, {})).toThrow('0 exported of 3');
  });
});
