import type { LegContext } from '../leg.ts';
import { type FoundMark, MarkFinder, type MarkRequest, valueMark } from '../marks.ts';
import { FileChangedError } from './errors.ts';
import { isDatabase } from './export-database.ts';
import type { FileInfo, Folder } from './folder.ts';
import { logsOf } from './order.ts';
import { CHECKED_BYTES_MAX, SqliteCopy } from './sqlite-copy.ts';

/** How often a database that changes while it is copied is copied again. */
const TRIES = 3;

type ValueRequest = Extract<MarkRequest, { kind: 'value' }>;

/**
 * Looks for files by name, and for values in SQLite databases of up to 128 MiB with their logs, of which it makes a
 * temporary copy. What cannot be read now is not found: a backup must not fail because of it.
 */
export async function findFileMarks(
  folder: Folder,
  files: readonly FileInfo[],
  requests: readonly MarkRequest[],
  { signal }: Pick<LegContext, 'signal'>,
): Promise<FoundMark[]> {
  const finder = new MarkFinder('file', requests);
  for (const { name } of files) {
    if (finder.isDone) break;
    finder.see(name);
  }
  const byFile = new Map<FileInfo, ValueRequest[]>();
  for (const request of requests) {
    if (request.kind !== 'value') continue;
    const file = files.find(({ name }) => request.pattern.test(name));
    if (file) byFile.set(file, [...(byFile.get(file) ?? []), request]);
  }
  const values: FoundMark[] = [];
  for (const [file, wanted] of byFile) values.push(...(await readValues(folder, file, wanted, signal)));
  return [...finder.found, ...values];
}

async function readValues(
  folder: Folder,
  file: FileInfo,
  requests: readonly ValueRequest[],
  signal: AbortSignal,
): Promise<FoundMark[]> {
  if (!(await isDatabase(folder, file))) return [];
  for (let tries = 0; tries < TRIES; tries++) {
    signal.throwIfAborted();
    const copy = await SqliteCopy.create();
    try {
      if (!(await copyDatabase(folder, file.name, copy, signal))) continue;
      const values = await copy.firstValues(requests);
      return requests.flatMap(({ table, column }, at) => {
        const value = values[at];
        return value === undefined ? [] : [valueMark(table, column, value)];
      });
    } catch (error) {
      if (!(error instanceof FileChangedError)) throw error;
    } finally {
      await copy.remove();
    }
  }
  return [];
}

/** Copies a database with its logs; false if it is too large, or changed meanwhile. */
async function copyDatabase(
  folder: Folder,
  name: string,
  copy: SqliteCopy,
  signal: AbortSignal,
): Promise<boolean> {
  const statAll = () => Promise.all([...logsOf(name), name].map((file) => folder.stat(file)));
  const before = await statAll();
  const bytes = before.reduce((sum, found) => sum + (found?.size ?? 0), 0);
  if (before.at(-1) === undefined || bytes > CHECKED_BYTES_MAX) return false;
  for (const file of before) {
    if (!file) continue;
    for await (const chunk of folder.read(file, 0, file.size)) {
      signal.throwIfAborted();
      await copy.append(file.name.slice(name.length), chunk);
    }
  }
  const after = await statAll();
  return after.every((file, at) => file?.version === before[at]?.version);
}
