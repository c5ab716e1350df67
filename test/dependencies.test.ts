/** The imports of production code are in `dependencies`, and nothing else is. */
import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { importsOf } from './runner/imports.ts';

const ROOT = join(import.meta.dirname, '..');
/** The functions and the command line. The dashboard is bundled into static files at build time. */
const ENTRY_POINTS = [
  'cli/main.ts',
  ...readdirSync(join(ROOT, 'functions'))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `functions/${name}`),
];
const { dependencies } = z
  .object({ dependencies: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')));

/** Packages that the entry points import at run time, directly or through modules of this repository. */
async function importedPackages(): Promise<string[]> {
  const paths = Object.values(await importsOf(ENTRY_POINTS)).flatMap(({ imports }) =>
    imports.filter(({ external }) => external).map(({ path }) => path),
  );
  const names = paths.filter((path) => !isBuiltin(path)).map(packageOf);
  return [...new Set(names)].sort();
}

/** `@scope/name` from `@scope/name/file`, `name` from `name/file`. */
function packageOf(path: string): string {
  const parts = path.split('/');
  return parts.slice(0, path.startsWith('@') ? 2 : 1).join('/');
}

test('dependencies are exactly the packages that functions and CLI import; everything else is a devDependency', async () => {
  expect(Object.keys(dependencies).sort()).toEqual(await importedPackages());
});
