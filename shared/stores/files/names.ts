import { LIMITS } from '../../core/limits.ts';

/** Folder of the archive that holds the unmodified files. */
export const FOLDER = 'kv/files/';
/** Characters that entry names do not contain as they are. */
const SPECIAL = /[^A-Za-z0-9_.-]/g;
/** Maximum length of one part of a path in bytes, as in Linux. */
const PART_BYTES_MAX = 255;
/** Prefix of the names of ngbak's own files, which are directly in the folder. */
export const OWN_PREFIX = '.ngbak-';

/**
 * Entry names for files, whose paths are relative to their folder. Letters, digits, `_`, `-`, `.` and `/` stand for
 * themselves; all other bytes of the path's UTF-8 are written as `%XX`, as is a dot before a dot. The capitals of names
 * that differ only in case, which some systems treat as equal, are written as `%XX` too, and so is every byte of a name
 * that is also a folder, as S3 allows. Decoding is the same in all cases.
 */
export function entryNamesOf(files: readonly string[]): Map<string, string> {
  const uses = new Map<string, number>();
  const folders = new Set<string>();
  const plainNames = files.map((file) => encode(file, SPECIAL));
  for (const name of plainNames) {
    const folded = name.toLowerCase();
    uses.set(folded, (uses.get(folded) ?? 0) + 1);
    for (const folder of foldersOf(folded)) folders.add(folder);
  }
  const names = new Map<string, string>();
  for (const [index, file] of files.entries()) {
    const plain = plainNames[index] ?? '';
    const folded = plain.toLowerCase();
    const isShared = (uses.get(folded) ?? 0) > 1;
    const name = folders.has(folded) ? encode(file, /./gs) : isShared ? encode(file, /[^a-z0-9_.-]/g) : plain;
    names.set(file, FOLDER + name);
  }
  return names;
}

/** The folders of a path: `a` and `a/b` of `a/b/c`. */
export function* foldersOf(path: string): Generator<string> {
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) yield path.slice(0, at);
}

/** Whether an entry name is longer than the archive format allows. */
export function isTooLong(entry: string): boolean {
  return Buffer.byteLength(entry) > LIMITS.nameBytes;
}

function encode(file: string, special: RegExp): string {
  const percent = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  const encodePart = (part: string) =>
    Buffer.from(part, 'utf8')
      .toString('latin1')
      .replaceAll(special, percent)
      .replaceAll(/\.(?=\.)|^\.$/g, percent);
  return file.split('/').map(encodePart).join('/');
}

/**
 * The file that an entry holds; undefined if {@link entryNamesOf} does not produce the entry's name, such as for a name
 * that points outside of the folder.
 */
export function fileNameOf(entry: string): string | undefined {
  if (!entry.startsWith(FOLDER)) return undefined;
  const parts = entry.slice(FOLDER.length).split('/').map(decodePart);
  const file = parts.join('/');
  return parts.includes(undefined) || isOwn(file) ? undefined : file;
}

function decodePart(part: string): string | undefined {
  if (!/^(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})+$/.test(part)) return undefined;
  const bytes = Buffer.from(
    part.replaceAll(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
  const name = bytes.toString('utf8');
  const isValid = Buffer.from(name, 'utf8').equals(bytes) && bytes.length <= PART_BYTES_MAX;
  return isValid && isPlainName(name) ? name : undefined;
}

/** Whether a name is valid for a file or folder directly in a folder. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}

/** Whether a path stays within its folder. */
export function isPlainPath(path: string): boolean {
  return path.split('/').every(isPlainName);
}

/** Whether a file belongs to ngbak, not to the knowledge base. */
export function isOwn(path: string): boolean {
  return path.startsWith(OWN_PREFIX) && !path.includes('/');
}

/** The form of a path that is equal for names that some systems store as one: they differ in case or Unicode form. */
export function foldName(path: string): string {
  return path.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFC');
}
