import { execFile } from 'node:child_process';
import { relative } from 'node:path';
import { promisify } from 'node:util';
import type { Metafile } from 'esbuild';
import { ROOT } from '../../local/folders.ts';
import { importsOf } from './imports.ts';
import { JEST } from './jest.ts';

/**
 * The requirements of a test file, which decide where it runs: none (`quick`), real servers (`stores`), or the deployed
 * stack on real servers (`stack`).
 */
export const GROUPS = ['quick', 'stores', 'stack'] as const;
export type Group = (typeof GROUPS)[number];

/** Sets of tests that `npm run test:<tier>` runs; `npm test` runs all except the nightly ones. */
export const TIERS = {
  quick: ['quick'],
  stores: ['stores'],
  stack: ['stack'],
  all: GROUPS,
  nightly: GROUPS,
} as const satisfies Record<string, readonly Group[]>;
export type Tier = keyof typeof TIERS;

/** Modules that start servers or connect to running ones. A test file that imports none of them needs none. */
const SERVER_MODULES =
  /^(test\/servers|test\/support\/aws|local\/(stack|processes)|local\/services\/\w+)\.ts$/;
const LIST_TIMEOUT_MS = 60_000;
const NIGHTLY = /\.nightly\.test\.ts$/;

/** Test files that Jest selects with these arguments, relative to the checkout. */
async function listTests(args: readonly string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [...JEST, '--listTests', ...args], {
    cwd: ROOT,
    timeout: LIST_TIMEOUT_MS,
    maxBuffer: 16 * 1024 * 1024,
  });
  return stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((path) => relative(ROOT, path));
}

/** Whether a module imports one that connects to servers, directly or through others. */
function needsServers(path: string, inputs: Metafile['inputs'], seen = new Set<string>()): boolean {
  if (SERVER_MODULES.test(path)) return true;
  if (seen.has(path)) return false;
  seen.add(path);
  return (inputs[path]?.imports ?? []).some((found) => needsServers(found.path, inputs, seen));
}

/** The test files of a tier that Jest selects with these arguments, by their requirements. */
export async function selectTests(tier: Tier, args: readonly string[]): Promise<Map<Group, string[]>> {
  const selected = await listTests(args);
  const inputs = await importsOf(selected);
  const groupOf = (path: string): Group => {
    if (path.startsWith('test/stack/')) return 'stack';
    return needsServers(path, inputs) ? 'stores' : 'quick';
  };
  const wanted: readonly Group[] = TIERS[tier];
  const groups = new Map<Group, string[]>();
  for (const path of selected) {
    const group = groupOf(path);
    if (!wanted.includes(group) || (NIGHTLY.test(path) && tier !== 'nightly')) continue;
    groups.set(group, [...(groups.get(group) ?? []), path]);
  }
  return groups;
}
