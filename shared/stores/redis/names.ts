/**
 * Names of the archive's entries for a key-value namespace, format 1:
 *
 * - `kv/<namespace>.json`, `kv/<namespace>-00002.json`, …: a JSON object `{key: value}` for strings that are JSON;
 * - the same with `.expiry.jsonl`: expiry times of the keys in the JSON entry with that number;
 * - the same with `.typed.jsonl`: everything that JSON cannot represent.
 */
export type EntryForm = 'json' | 'expiry' | 'typed';

const SUFFIXES: Record<EntryForm, string> = {
  json: '.json',
  expiry: '.expiry.jsonl',
  typed: '.typed.jsonl',
};
const FOLDER = 'kv/';

/**
 * A namespace as part of an entry name. Readers may fold case and may support only ASCII, so everything except
 * lower-case letters, digits, `_`, `-` and `.` is percent-encoded; so are a leading dot, dots before dots, and a hyphen
 * that could be mistaken for the one before the number.
 */
function encodeNamespace(namespace: string): string {
  const encoded = Buffer.from(namespace, 'utf8')
    .toString('latin1')
    .replaceAll(/[^a-z0-9_.-]/g, percent);
  return encoded.replaceAll(/^\.|\.(?=\.)/g, percent).replace(/-(?=\d{5,}$)/, percent);
}

function percent(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}

/** Name of the `part`-th entry (from 1) of a namespace. */
export function entryName(namespace: string, form: EntryForm, part: number): string {
  const number = part === 1 ? '' : `-${String(part).padStart(5, '0')}`;
  return `${FOLDER}${encodeNamespace(namespace)}${number}${SUFFIXES[form]}`;
}

/** Parses the name of a `kv/` entry; undefined for names that are not part of this format. */
export function parseEntryName(
  name: string,
): { namespace: string; form: EntryForm; part: number } | undefined {
  if (!name.startsWith(FOLDER) || name.indexOf('/', FOLDER.length) >= 0) return undefined;
  for (const form of ['expiry', 'typed', 'json'] as const) {
    if (!name.endsWith(SUFFIXES[form])) continue;
    const stem = name.slice(FOLDER.length, -SUFFIXES[form].length);
    const [, encoded = '', digits] = /^(.+?)(?:-(\d{5,}))?$/.exec(stem) ?? [];
    if (encoded === '') return undefined;
    const bytes = encoded.replaceAll(/%([0-9A-F]{2})/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    const namespace = Buffer.from(bytes, 'latin1').toString('utf8');
    return { namespace, form, part: digits === undefined ? 1 : Number(digits) };
  }
  return undefined;
}

/** Name of the entry with the expiry times for a JSON entry. */
export function expiryNameOf(jsonName: string): string {
  return jsonName.replace(/\.json$/, SUFFIXES.expiry);
}
