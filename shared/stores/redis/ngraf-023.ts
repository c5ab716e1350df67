import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { ArchiveView } from '../../archive/read/view.ts';
import { BACKSLASH, COLON, COMMA, QUOTE } from '../json-bytes.ts';
import { othersExpiryLine } from './archive-records.ts';
import { readMembers } from './json-entry.ts';
import { expiryNameOf, parseEntryName } from './names.ts';

/** Root of the keys of NGRAF-023 on its server: `nano_graphrag:<namespace>:<id>`. Its archives contain only the IDs. */
const ROOT = 'nano_graphrag';

const SPACE = 0x20;

/**
 * Presents the key-value files of an NGRAF-023 archive in ngbak's own form: with the full keys they had on the server,
 * and with values as its client writes them (`json.dumps`), because the files have them indented.
 *
 * @param expiries  expiry of the keys of each namespace, in ms since 1970, which the archives do not contain
 */
export function viewWholeKeys(
  archive: EntryReader,
  expiries: Readonly<Record<string, number>> = {},
): EntryReader {
  return new ArchiveView(archive, 'kv/', async (entry) => {
    const parsed = parseEntryName(entry.name);
    if (parsed?.form !== 'json') return [{ name: entry.name }];
    const content = () => wholeKeys(archive, entry, `${ROOT}:${parsed.namespace}:`);
    const json = { name: entry.name, content };
    if (!Object.hasOwn(expiries, parsed.namespace)) return [json];
    const line = othersExpiryLine(expiries[parsed.namespace] ?? 0);
    return [json, { name: expiryNameOf(entry.name), size: line.length, content: () => oneChunk(line) }];
  });
}

/** Returns those of the namespaces whose keys an archive of NGRAF-023 contains, judged by its entry names. */
export async function namespacesOf(archive: EntryReader, names: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for await (const { name } of archive.entries('kv/')) {
    const parsed = parseEntryName(name);
    if (parsed?.form === 'json' && names.includes(parsed.namespace)) found.add(parsed.namespace);
  }
  return [...found].sort();
}

async function* oneChunk(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield chunk;
}

async function* wholeKeys(
  archive: EntryReader,
  entry: IndexEntry,
  prefix: string,
): AsyncGenerator<Uint8Array> {
  let separator = '{';
  for await (const { key, value } of readMembers(archive.open(entry))) {
    const name = JSON.stringify(prefix + key.toString('utf8'));
    yield Buffer.concat([Buffer.from(`${separator}\n${name}: `), asPythonWrites(value)]);
    separator = ',';
  }
  yield Buffer.from(separator === '{' ? '{}\n' : '\n}\n');
}

/**
 * Normalizes JSON text to the white space of Python's `json.dumps`: one space after each comma and colon, and none
 * elsewhere. The text in between, including the notation of numbers and strings, is already Python's.
 */
function asPythonWrites(value: Buffer): Buffer {
  const written = Buffer.alloc(value.length * 2);
  let length = 0;
  let inText = false;
  for (let at = 0; at < value.length; at++) {
    const byte = value[at] ?? 0;
    const isSpace = byte === SPACE || (byte >= 0x09 && byte <= 0x0d);
    if (!inText && isSpace) continue;
    written[length++] = byte;
    if (byte === QUOTE) inText = !inText;
    else if (inText && byte === BACKSLASH) written[length++] = value[++at] ?? 0;
    else if (!inText && (byte === COMMA || byte === COLON)) written[length++] = SPACE;
  }
  return written.subarray(0, length);
}
