/**
 * Code outside of the stores names no backend: the properties it needs are declared in the facts of the backend.
 * Profiles name backends, because their scopes are specific to them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { FACTS } from '../shared/stores/known-facts.ts';
import { ADAPTERS } from '../shared/stores/registry.ts';

const ROOT = join(import.meta.dirname, '..');
const GENERIC = ['shared', 'cli', 'dashboard', 'infra', 'functions'];
const NOT_GENERIC = /^shared\/(stores|profiles)\//;
/** Files that may import from the folder of a backend, and why. */
const MAY_IMPORT: Readonly<Record<string, string>> = {
  'cli/commands/archive.ts': 'converts the Cypher script of an archive of NGRAF-023',
  'cli/known-stores.ts':
    'opens the stores that environment variables name, each with its form of credentials',
  'cli/selftest.ts': 'knows the entries of the store that the self-test makes',
  'shared/workflows/restore/inspect.ts': 'converts the Cypher script of an archive of NGRAF-023',
};
/** Files that may name backends or their tallies, and why. */
const MAY_NAME: Readonly<Record<string, string>> = {
  'cli/commands/local.ts': 'starts these servers',
  'cli/known-stores.ts':
    'opens the stores that environment variables name, each with its form of credentials',
  'shared/archive/format/ngraf-023.ts': 'NGRAF-023 has these backends and no others',
};

const files = GENERIC.flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => `${folder}/${path}`)
    .filter((path) => /\.tsx?$/.test(path) && !NOT_GENERIC.test(path)),
).map((path) => ({ path, code: withoutComments(readFileSync(join(ROOT, path), 'utf8')) }));

function withoutComments(code: string): string {
  return code.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '');
}

test('generic code imports nothing from the folder of a backend', () => {
  // The configuration is not on a server: restores compare it.
  const kinds = ADAPTERS.flatMap(({ kind }) => (kind === 'config' ? [] : kind)).join('|');
  const importsBackend = new RegExp(`from '[^']*/stores/(${kinds})/`);
  const found = files.filter(({ code }) => importsBackend.test(code)).map(({ path }) => path);
  expect(found.sort()).toEqual(Object.keys(MAY_IMPORT).sort());
});

test('generic code names no backend and none of its tallies', () => {
  const kinds = FACTS.map(({ kind }) => kind).filter((kind) => kind !== 'files' && kind !== 'config');
  const tallies = FACTS.flatMap(({ tallies }) => tallies.map(({ name }) => name));
  const named = [
    new RegExp(`\\b(${kinds.join('|')})\\b`, 'i'),
    // At the beginning of a text, alone or with a name: 'points:' + name.
    new RegExp(`['"\`]((graph|vectors|kv) )?(${tallies.join('|')}):`),
  ];
  const imports = /^import [^;]*;$/gm;
  const found = files
    .filter(({ code }) => named.some((pattern) => pattern.test(code.replaceAll(imports, ''))))
    .map(({ path }) => path);
  expect(found.sort()).toEqual(Object.keys(MAY_NAME).sort());
});

test('the facts match the adapters, and each tally belongs to one backend', () => {
  expect(FACTS).toEqual(ADAPTERS.map(({ facts }) => facts));
  for (const { facts, kind, name } of ADAPTERS) expect(facts).toMatchObject({ kind, name });
  const tallies = FACTS.flatMap((facts) => facts.tallies.map(({ name }) => name));
  expect(new Set(tallies).size).toBe(tallies.length);
});
