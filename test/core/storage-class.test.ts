import { describe, expect, test } from '@jest/globals';
import { thawText } from '../../shared/core/cost-text.ts';
import {
  STORAGE_CLASSES,
  type StorageClass,
  THAW_HOURS,
  transitionProblems,
} from '../../shared/core/storage-class.ts';

type Step = [days: number, storageClass: Exclude<StorageClass, 'STANDARD'>];
const problems = (created: StorageClass, steps: readonly Step[]) =>
  transitionProblems(
    created,
    steps.map(([days, storageClass]) => ({ days, storageClass })),
  ).map(({ index, problem }) => `${index}: ${problem}`);

describe('transitions', () => {
  const allowed: [string, StorageClass, Step[]][] = [
    ['none', 'STANDARD', []],
    ['after a day', 'STANDARD', [[1, 'GLACIER']]],
    [
      'from one class to the next',
      'STANDARD',
      [
        [30, 'STANDARD_IA'],
        [60, 'GLACIER'],
        [61, 'DEEP_ARCHIVE'],
      ],
    ],
    ['from a lower class', 'GLACIER_IR', [[1, 'DEEP_ARCHIVE']]],
  ];
  test.each(allowed)('%s are allowed', (_, created, steps) => {
    expect(problems(created, steps)).toEqual([]);
  });

  const refused: [string, StorageClass, Step[], RegExp][] = [
    ['to a higher class', 'GLACIER_IR', [[30, 'STANDARD_IA']], /^0: .*from GLACIER_IR to STANDARD_IA/],
    ['to the class that it has', 'GLACIER_IR', [[30, 'GLACIER_IR']], /^0: .*from GLACIER_IR to GLACIER_IR/],
    [
      'back',
      'STANDARD',
      [
        [10, 'DEEP_ARCHIVE'],
        [20, 'GLACIER'],
      ],
      /^1: .*from DEEP_ARCHIVE to GLACIER/,
    ],
    [
      'on the same day',
      'STANDARD',
      [
        [10, 'GLACIER'],
        [10, 'DEEP_ARCHIVE'],
      ],
      /^1: must come after .*10 days/,
    ],
    [
      'out of order',
      'STANDARD',
      [
        [90, 'GLACIER'],
        [10, 'DEEP_ARCHIVE'],
      ],
      /^1: must come after .*90 days/,
    ],
    ['to STANDARD_IA too early', 'STANDARD', [[29, 'STANDARD_IA']], /^0: .*STANDARD_IA after 30 days/],
    [
      'out of STANDARD_IA too early',
      'STANDARD',
      [
        [30, 'STANDARD_IA'],
        [59, 'GLACIER'],
      ],
      /^1: .*30 days in STANDARD_IA: 60 days/,
    ],
  ];
  test.each(refused)('%s are refused', (_, created, steps, problem) => {
    expect(problems(created, steps)).toEqual([expect.stringMatching(problem)]);
  });

  test('never end in a class above the one that they start in', () => {
    for (const [index, created] of STORAGE_CLASSES.entries()) {
      for (const storageClass of STORAGE_CLASSES.slice(1, index + 1)) {
        expect(problems(created, [[400, storageClass as Step[1]]])).not.toEqual([]);
      }
    }
  });
});

test('the duration of a thaw is in minutes or in hours', () => {
  expect(thawText(THAW_HOURS.GLACIER.expedited ?? { min: 0, max: 0 })).toBe('1 to 5 minutes');
  expect(thawText(THAW_HOURS.GLACIER.standard ?? { min: 0, max: 0 })).toBe('3 to 5 hours');
});
