/** The pages import only types of schemas: zod generates code, which the policy of the pages blocks. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '../..');
const IMPORT = /(?:^|\n)(?:import|export) (?!type )([^;'"]*?)from '([^']+)'|import\('([^']+)'\)/g;

/** What a module imports at runtime. */
function importsOf(path: string): string[] {
  return [...readFileSync(path, 'utf8').matchAll(IMPORT)].flatMap(([, names = '', from, loaded]) => {
    const members = /^\{([^}]*)\} $/
      .exec(names)?.[1]
      ?.split(',')
      .map((name) => name.trim());
    const isTypes = members?.every((name) => name === '' || name.startsWith('type '));
    return isTypes ? [] : [from ?? loaded ?? ''];
  });
}

test('no page loads a schema', () => {
  const found: string[] = [];
  const seen = new Set<string>();
  const visit = (path: string, via: readonly string[]): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const trail = [...via, relative(ROOT, path)];
    for (const name of importsOf(path)) {
      if (name === 'zod') found.push(trail.join(' > '));
      const next = join(dirname(path), name);
      if (name.startsWith('.') && /\.tsx?$/.test(next) && existsSync(next)) visit(next, trail);
    }
  };
  visit(join(ROOT, 'dashboard/main.tsx'), []);
  expect(seen.size).toBeGreaterThan(100);
  expect(found).toEqual([]);
});
