/** The order of the folders of `shared/`: a room imports only rooms above it, so that no two import each other. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '..');
/** From independent rooms to those that depend on all others. The README explains each. */
const ROOMS = [
  'core',
  'aws',
  'archive',
  'stores',
  'profiles',
  'catalog',
  'schedules',
  'notify',
  'workflows',
  'operations',
  'api',
];
/** The same within rooms that have folders. `.` stands for the files in the room itself. */
const INSIDE: Record<string, readonly string[]> = {
  archive: ['format', 'read', 'write'],
  catalog: ['.', 'retention'],
  workflows: ['.', 'job', 'drill', 'copy', 'backup', 'restore', 'janitor'],
};

interface Import {
  readonly from: string;
  readonly to: string;
}

/** Imports among the files below a folder, including type imports. Paths are relative to `shared/`. */
function importsBelow(folder: string): Import[] {
  const root = join(ROOT, folder);
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.tsx?$/.test(path))
    .flatMap((path) =>
      [...readFileSync(join(root, path), 'utf8').matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map(
        ([, specifier = '']) => ({
          from: path,
          to: relative(root, join(root, dirname(path), specifier)),
        }),
      ),
    );
}

const imports = importsBelow('shared');
const roomOf = (path: string) => path.split('/')[0] ?? '';
const partOf = (path: string) => (path.split('/').length > 2 ? (path.split('/')[1] ?? '') : '.');

test('shared/ consists of these rooms', () => {
  expect(readdirSync(join(ROOT, 'shared')).sort()).toEqual([...ROOMS].sort());
});

test('shared/ imports nothing from outside', () => {
  expect(imports.filter(({ to }) => to.startsWith('..'))).toEqual([]);
});

test('a room imports only rooms above it', () => {
  const wrong = imports.filter(({ from, to }) => ROOMS.indexOf(roomOf(to)) > ROOMS.indexOf(roomOf(from)));
  expect(wrong).toEqual([]);
});

test.each(Object.keys(INSIDE))('so do the folders of %s', (room) => {
  const order = INSIDE[room] ?? [];
  const inside = imports.filter(({ from, to }) => roomOf(from) === room && roomOf(to) === room);
  expect(inside.length).toBeGreaterThan(0);
  const wrong = inside.filter(({ from, to }) => order.indexOf(partOf(to)) > order.indexOf(partOf(from)));
  expect(wrong).toEqual([]);
});

test('core/ imports no AWS SDK: the dashboard bundles it', () => {
  const core = join(ROOT, 'shared/core');
  const found = readdirSync(core).filter((name) => readFileSync(join(core, name), 'utf8').includes("'@aws-"));
  expect(found).toEqual([]);
});

test('no modules of the dashboard import each other', () => {
  const all = importsBelow('dashboard').filter(({ to }) => !to.startsWith('..'));
  expect(cycles(all)).toEqual([]);
});

test('no modules of shared/ import each other, not even for types', () => {
  expect(cycles(imports)).toEqual([]);
});

/** Groups of modules that import each other, directly or not (Tarjan's strongly connected components). */
function cycles(edges: readonly Import[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (module: string): number => {
    const at = index.size;
    index.set(module, at);
    let lowest = at;
    stack.push(module);
    for (const other of next.get(module) ?? []) {
      const seen = index.get(other);
      if (seen === undefined) lowest = Math.min(lowest, visit(other));
      else if (stack.includes(other)) lowest = Math.min(lowest, seen);
    }
    low.set(module, lowest);
    if (lowest === at) {
      const group = stack.splice(stack.indexOf(module));
      if (group.length > 1) found.push(group.sort());
    }
    return lowest;
  };
  for (const module of next.keys()) if (!index.has(module)) visit(module);
  return found;
}
