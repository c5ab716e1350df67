import { warningText } from '../../shared/stores/describe-warning.ts';
import { mergeWarnings, StoreWarning, WarningCollector } from '../../shared/stores/warning.ts';

test('merges warnings with the same code and text: counts are added, the first twenty samples are kept', () => {
  const collector = new WarningCollector();
  for (let batch = 0; batch < 3; batch++) {
    const samples = Array.from({ length: 9 }, (_, at) => `key-${batch}-${at}`);
    collector.add({ code: 'keys-left-out', text: 'Keys are left out.', count: 9, samples });
  }
  collector.add({ code: 'keys-left-out', text: 'Other keys are left out.', count: 1 });
  const [first, second] = collector.all();
  expect(first).toMatchObject({ count: 27 });
  expect(first?.samples).toHaveLength(20);
  expect(first?.samples?.at(-1)).toBe('key-2-1');
  expect(second).toEqual({ code: 'keys-left-out', text: 'Other keys are left out.', count: 1 });
});

test('keeps a bounded number of distinct warnings of bounded length, and counts the others', () => {
  const lists = Array.from({ length: 150 }, (_, at) => [
    { code: 'odd', text: `${at} ${'x'.repeat(5000)}`, samples: ['\u{1f600}'.repeat(500)] },
  ]);
  const merged = mergeWarnings(lists);
  expect(merged).toHaveLength(101);
  expect(merged.at(-1)).toMatchObject({ code: 'further-warnings', count: 50 });
  for (const warning of merged) expect(StoreWarning.safeParse(warning).error).toBeUndefined();
  // Merging bounded lists again keeps the number of the omitted ones.
  expect(mergeWarnings([merged, merged]).at(-1)).toMatchObject({ code: 'further-warnings', count: 100 });
});

test('formats a warning as one line with its count and names', () => {
  const text = 'Keys are left out.';
  expect(warningText({ code: 'a', text })).toBe(text);
  expect(warningText({ code: 'a', text, count: 3 })).toBe('Keys are left out. (3)');
  expect(warningText({ code: 'a', text, count: 3, samples: ['x', 'y'] })).toBe(
    'Keys are left out. (3: x, y, …)',
  );
  expect(warningText({ code: 'a', text, count: 2, samples: ['x', 'y'] })).toBe(
    'Keys are left out. (2: x, y)',
  );
});
