/** Folder of the archive that holds the unmodified files. */
export const FOLDER = 'kv/files/';
/** Maximum length of a file name in bytes, as in Linux. */
const NAME_BYTES_MAX = 255;

/**
 * Entry names for files. Letters, digits, `_`, `-` and `.` stand for themselves; all other bytes of the name's UTF-8
 * are written as `%XX`, as is a dot before a dot. If names differ only in case, which some readers treat as equal, the
 * capitals of all but the first are written as `%XX` too. Decoding is the same in both cases.
 */
export function entryNamesOf(files: readonly string[]): Map<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const file of files) {
    let name = encode(file, /[^A-Za-z0-9_.-]/g);
    if (taken.has(name.toLowerCase())) name = encode(file, /[^a-z0-9_.-]/g);
    taken.add(name.toLowerCase());
    names.set(file, FOLDER + name);
  }
  return names;
}

function encode(file: string, special: RegExp): string {
  const percent = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  return Buffer.from(file, 'utf8')
    .toString('latin1')
    .replaceAll(special, percent)
    .replaceAll(/\.(?=\.)|^\.$/g, percent);
}

/** The file that an entry holds; undefined if {@link entryNamesOf} does not produce the entry's name. */
export function fileNameOf(entry: string): string | undefined {
  const name = entry.slice(FOLDER.length);
  if (!entry.startsWith(FOLDER) || !/^(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})+$/.test(name)) return undefined;
  const bytes = Buffer.from(
    name.replaceAll(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
  const file = bytes.toString('utf8');
  const isValid = Buffer.from(file, 'utf8').equals(bytes) && bytes.length <= NAME_BYTES_MAX;
  if (!isValid || /[/\0]/.test(file) || file === '.' || file === '..' || file.startsWith('.ngbak-'))
    return undefined;
  return file;
}
