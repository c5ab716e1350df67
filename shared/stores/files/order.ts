/** Suffixes of the files in which a database in one file keeps changes that are not in that file yet. */
const LOG_SUFFIXES = ['-wal', '-journal', '.wal', '.shadow'] as const;
/** Suffix of the shared memory of SQLite's connections, which holds no data: the first connection creates it again. */
const SHARED_MEMORY = '-shm';

/**
 * The order in which files are saved: by path, except that the files on which others depend come first. The manifests of
 * a Lance dataset come before its data, since a data file exists before a manifest names it; the log of a database comes
 * before the database, which is then read at the time of its log.
 */
export function compareFiles(one: string, other: string): number {
  const [left, right] = [orderKey(one), orderKey(other)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** A text that sorts as the file does. No path contains the characters U+0000 and U+0001 that it adds. */
export function orderKey(path: string): string {
  const parts = path.split('/').map((part) => (part === '_versions' ? '\0' : part));
  const log = logOf(path);
  const name = parts.join('/');
  return log === undefined ? `${name}\u0001` : `${name.slice(0, -log.suffix.length)}\0${log.suffix}`;
}

/** The database to which a file belongs as its log, judged by the name alone; undefined for other files. */
export function logOf(path: string): { readonly database: string; readonly suffix: string } | undefined {
  const suffix = LOG_SUFFIXES.find((end) => path.endsWith(end));
  const database = suffix && path.slice(0, -suffix.length);
  return suffix && database && !database.endsWith('/') ? { database, suffix } : undefined;
}

/** The logs that a database may have. */
export function logsOf(database: string): string[] {
  return LOG_SUFFIXES.map((suffix) => database + suffix);
}

/** Whether a log may be read while it grows: every frame of it has a checksum that continues that of the last one. */
export function mayGrow(path: string): boolean {
  return path.endsWith('-wal');
}

/** The database whose shared memory a file is, judged by the name alone. */
export function sharedMemoryOf(path: string): string | undefined {
  return path.endsWith(SHARED_MEMORY) ? path.slice(0, -SHARED_MEMORY.length) : undefined;
}

/**
 * The Lance dataset of which a file is a version's manifest: the path of its folder, '' for the folder itself. Undefined
 * for other files.
 */
export function datasetOf(path: string): string | undefined {
  return /^(?:(.*)\/)?_versions\/[^/]+\.manifest$/s
    .exec(path)
    ?.slice(1)
    .map((folder) => folder ?? '')[0];
}
