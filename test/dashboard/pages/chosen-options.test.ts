import { expect, test } from '@jest/globals';
import {
  chosenOptions,
  draftOf,
  isChanged,
  linesOf,
  pairs,
  withoutEmpty,
  words,
} from '../../../dashboard/pages/restore/chosen-options.ts';
import { RestoreOptions } from '../../../shared/workflows/restore/request.ts';

test('lines of names become an object, and are restored from it; an incomplete line is reported', () => {
  expect(pairs('a = b\n\n c=d = e ')).toEqual({ a: 'b', c: 'd = e' });
  expect(linesOf(pairs('a=b\nc=d'))).toBe('a = b\nc = d');
  expect([pairs('a'), pairs('= b'), pairs('a =')]).toEqual([undefined, undefined, undefined]);
  expect(pairs('')).toEqual({});
});

test('empty fields are not sent, since the API refuses empty values', () => {
  const only = withoutEmpty({
    label: '',
    collections: [],
    namespaces: ['chunks'],
    key_prefixes: words(' a:, b: ,'),
  });
  expect(only).toEqual({ namespaces: ['chunks'], key_prefixes: ['a:', 'b:'] });
  expect(withoutEmpty({ label: '', collections: {}, parameters: {} })).toBeUndefined();
  expect(RestoreOptions.safeParse({ only }).error).toBeUndefined();
});

test.each([
  {},
  { mode: 'merge', on_conflict: 'keep', safety_backup: false },
  {
    stores: ['kv', 'graph'],
    only: { namespaces: ['chunks'], key_prefixes: ['a:', 'b:'] },
    allow_empty: false,
  },
  { rename: { label: 'Copy', collections: { a: 'b' } }, dangling: 'defer', label_origin: true },
  { cypher_script: true, default_expiries: 'from-backup', dry_run: true },
])('an unchanged form requests the current options of the restore: %j', (given) => {
  const options = RestoreOptions.parse(given);
  const { dry_run: _, ...same } = options;
  const chosen = chosenOptions(draftOf(options), options);
  expect({ ...chosen, stores: chosen.stores?.toSorted() }).toEqual({
    ...same,
    stores: same.stores?.toSorted(),
  });
  expect(isChanged(chosen, { ...options, ...(chosen.stores ? { stores: chosen.stores } : {}) })).toBe(false);
});

test('a changed form requests the changed options, and leaves the others as they were', () => {
  const options = RestoreOptions.parse({ only: { label: 'Kept' }, default_expiries: 'from-restore' });
  const chosen = chosenOptions({ ...draftOf(options), mode: 'merge', toCollections: 'a = b' }, options);
  expect(isChanged(chosen, options)).toBe(true);
  expect(RestoreOptions.parse(chosen)).toEqual({
    ...options,
    mode: 'merge',
    rename: { collections: { a: 'b' } },
  });
});
