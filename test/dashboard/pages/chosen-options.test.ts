import { expect, test } from '@jest/globals';
import { linesOf, pairs, withoutEmpty, words } from '../../../dashboard/pages/restore/chosen-options.ts';
import { RestoreOptions } from '../../../shared/workflows/restore/request.ts';

test('lines of names become an object and come back; an incomplete line is reported', () => {
  expect(pairs('a = b\n\n c=d = e ')).toEqual({ a: 'b', c: 'd = e' });
  expect(linesOf(pairs('a=b\nc=d'))).toBe('a = b\nc = d');
  expect([pairs('a'), pairs('= b'), pairs('a =')]).toEqual([undefined, undefined, undefined]);
  expect(pairs('')).toEqual({});
});

test('what is left empty is not sent, since the API refuses empty parts', () => {
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
