import { expect, test } from '@jest/globals';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { DONE } from '../../shared/stores/leg.ts';
import type { RouteRequest } from '../../shared/stores/route.ts';
import { sqliteAdapter } from './example/sqlite.ts';
import { legContext, MemoryArchive } from './memory-archive.ts';

const SCOPE = { collection: 'mine' };
const WHOLE: RouteRequest = { only: {}, rename: {}, sameProfile: true };
const route = (request: Partial<RouteRequest>) =>
  sqliteAdapter.route(new MemoryArchive(), undefined, SCOPE, { ...WHOLE, ...request });
const open = () => sqliteAdapter.create({ path: ':memory:' }, SCOPE, { target: 'test' });

test('an adapter without subsets refuses subsets of its own store, and ignores those of others', async () => {
  expect(() => sqliteAdapter.narrow(SCOPE, { namespaces: ['docs'] })).toThrow(InvalidInputError);
  expect(sqliteAdapter.narrow(SCOPE, { label: 'Person' })).toEqual(SCOPE);
  await expect(route({ only: { key_prefixes: ['x'] } })).rejects.toThrow('has no parts');
  expect(await route({ only: { collections: ['chunks'] } })).toMatchObject({ scope: SCOPE, changes: [] });
});

test('an adapter that cannot rename refuses other names for its own store only', async () => {
  await expect(route({ rename: { key_prefix: 'copy:' } })).rejects.toThrow(
    'has no names that can be changed',
  );
  expect(await route({ rename: { label: 'Copy', collections: { a: 'b' } } })).toMatchObject({ names: {} });
});

test('a store without a merge mode refuses to merge, and admits everything else', async () => {
  const archive = new MemoryArchive();
  const admits = (mode: 'replace' | 'merge') =>
    open().admits({ archive, options: { mode, onConflict: 'overwrite' }, context: legContext() });
  expect(await admits('merge')).toEqual([expect.stringContaining('cannot merge')]);
  expect(await admits('replace')).toEqual([]);
});

test('a store without smoke checks, references and leftovers says so', async () => {
  const store = open();
  const context = legContext();
  expect(sqliteAdapter.questions(SCOPE)).toEqual([]);
  expect(sqliteAdapter.Smoke.safeParse('anything').success).toBe(false);
  await expect(store.smoke('anything', context)).rejects.toThrow('does not support smoke checks');
  expect(await store.missing({ thing: 'documents', field: 'id' }, ['1'], context)).toBeUndefined();
  expect(await store.finish(context)).toEqual(DONE);
  await store.cleanup(context);
});
