import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Manifest } from '../shared/archive/format/manifest.ts';
import { isSeekable, openArchive } from '../shared/archive/read/open.ts';
import { fileSource } from '../shared/archive/read/sources.ts';
import { hasTags } from '../shared/catalog/tags.ts';
import { describeError, NgbakError } from '../shared/core/errors.ts';
import { mapOrdered } from '../shared/core/ordered.ts';
import type { BackupFilters } from '../shared/operations/list-backups.ts';
import { dataFolder } from './data-folder.ts';
import type { Output } from './output.ts';

/** Archives that are opened concurrently. For each one, at most two ranges are read. */
const OPEN_AT_ONCE = 8;

/** Records that all bytes of a file were verified, with the attributes of the file at that time. */
const Verification = z.object({
  path: z.string(),
  bytes: z.number(),
  mtime_ms: z.number(),
  verified_at: z.iso.datetime(),
});

/** An archive on this machine, as its manifest describes it. */
export interface LocalArchive {
  readonly file_name: string;
  readonly path: string;
  readonly bytes: number;
  /** Absent if the manifest cannot be read: see `problem`. */
  readonly backup_id?: string;
  readonly created_at?: string;
  readonly target?: string;
  readonly type?: 'full' | 'partial';
  readonly stores?: readonly string[];
  readonly tags?: readonly string[];
  /** When all of its bytes were last verified; absent if they were not, or if the file has changed since. */
  readonly verified_at?: string;
  /** Why the manifest cannot be read. */
  readonly problem?: string;
}

/** The archives in a folder, newest first; those with an unreadable manifest last. No folder means no archives. */
export async function listLocal(folder: string): Promise<LocalArchive[]> {
  const names = await readdir(folder).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const archives: LocalArchive[] = [];
  const files = names.filter((name) => /\.ngbak(\.age)?$/i.test(name));
  for await (const found of mapOrdered(files, OPEN_AT_ONCE, (name) => readLocal(folder, name))) {
    if (found) archives.push(found);
  }
  const time = ({ created_at }: LocalArchive) => (created_at === undefined ? 0 : Date.parse(created_at));
  return archives.sort((a, b) => time(b) - time(a) || a.file_name.localeCompare(b.file_name));
}

/** The archives that match the filters. One with an unreadable manifest matches none. */
export function filterLocal(
  archives: readonly LocalArchive[],
  { target, type, store, tag, since, until }: BackupFilters,
): LocalArchive[] {
  // NaN if the manifest cannot be read, which is neither before nor after any time.
  const time = ({ created_at = '' }: LocalArchive) => Date.parse(created_at);
  return archives.filter(
    (archive) =>
      (target === undefined || archive.target === target) &&
      (type === undefined || archive.type === type) &&
      (store === undefined || archive.stores?.includes(store) === true) &&
      (tag === undefined || hasTags(archive.tags ?? [], tag)) &&
      (since === undefined || time(archive) >= Date.parse(since)) &&
      (until === undefined || time(archive) < Date.parse(until)),
  );
}

/**
 * The archive in a folder with this backup ID, or with this file name with or without `.ngbak`. If there are several
 * copies, a verified one.
 */
export async function findLocal(folder: string, name: string): Promise<LocalArchive | undefined> {
  const fits = (await listLocal(folder)).filter(
    ({ file_name, backup_id }) => backup_id === name || file_name === name || file_name === `${name}.ngbak`,
  );
  return fits.find(({ verified_at }) => verified_at !== undefined) ?? fits[0];
}

/** Records that all bytes of a file were verified just now. Warns if that cannot be saved. */
export async function recordVerified(output: Pick<Output, 'warn'>, path: string): Promise<void> {
  try {
    await writeVerification(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    output.warn(`${path} was verified, but \`ngbak list --local\` will not show it: ${reason}`);
  }
}

async function writeVerification(path: string): Promise<void> {
  const { size, mtimeMs } = await stat(path);
  const real = await realpath(path);
  const record = verificationFile(real);
  await mkdir(join(dataFolder(), 'verified'), { recursive: true, mode: 0o700 });
  const verification: z.infer<typeof Verification> = {
    path: real,
    bytes: size,
    mtime_ms: mtimeMs,
    verified_at: new Date().toISOString(),
  };
  await writeFile(`${record}.new`, JSON.stringify(verification), { mode: 0o600 });
  await rename(`${record}.new`, record);
}

/** Undefined if it is not a file. */
async function readLocal(folder: string, name: string): Promise<LocalArchive | undefined> {
  const path = join(folder, name);
  const found = await stat(path).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!found) return { file_name: name, path, bytes: 0, problem: 'It was removed, or its link is broken.' };
  if (!found.isFile()) return undefined;
  const { size, mtimeMs } = found;
  const file = { file_name: name, path, bytes: size };
  if (/\.age$/i.test(name)) {
    return {
      ...file,
      problem: 'It is encrypted with age: `ngbak archive list FILE --identity KEYFILE` reads its manifest.',
    };
  }
  try {
    const { backup_id, created_at, scope, tags } = await readManifest(path);
    const verified_at = await verifiedAt(path, size, mtimeMs);
    return {
      ...file,
      backup_id,
      created_at,
      ...(scope.target === undefined ? {} : { target: scope.target }),
      type: scope.type,
      stores: scope.stores,
      tags,
      ...(verified_at === undefined ? {} : { verified_at }),
    };
  } catch (error) {
    if (!(error instanceof NgbakError)) throw error;
    return { ...file, problem: describeError(error) };
  }
}

async function readManifest(path: string): Promise<Manifest> {
  const source = await fileSource(path);
  try {
    if (await isSeekable(source)) return (await openArchive(source)).manifest;
    throw new NgbakError('The archive was repacked and has no index.', {
      remedy: 'Rewrite it with `ngbak archive repack`.',
    });
  } finally {
    await source.close();
  }
}

async function verifiedAt(path: string, bytes: number, mtimeMs: number): Promise<string | undefined> {
  const text = await readFile(verificationFile(await realpath(path)), 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The disk was full when it was written: treated as missing.
    return undefined;
  }
  const found = Verification.safeParse(json);
  if (!found.success || found.data.bytes !== bytes || found.data.mtime_ms !== mtimeMs) return undefined;
  return found.data.verified_at;
}

/** In the data folder and not next to the archive: downloads may be saved to folders with other contents. */
function verificationFile(real: string): string {
  return join(dataFolder(), 'verified', `${createHash('sha256').update(real).digest('hex')}.json`);
}
