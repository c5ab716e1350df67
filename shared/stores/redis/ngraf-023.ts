import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { ArchiveView } from '../../archive/read/view.ts';
import { othersExpiryLine } from './archive-records.ts';
import { readMembers } from './json-entry.ts';
import { expiryNameOf, parseEntryName } from './names.ts';

/** What keys of NGRAF-023 start with on its server: `nano_graphrag:<namespace>:<id>`. Its archives hold ids alone. */
const ROOT = 'nano_graphrag';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const SPACE = 0x20;

/**
 * The key-value files of an archive of NGRAF-023 as ngbak's own hold them: under the keys that they had on the server,
 * with values as its client writes them (`json.dumps`), where the files have them indented.
 *
 * @param expiries  when the keys of a namespace expire, in ms since 1970: the archives do not say so
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

/** Namespaces of these whose keys an archive of NGRAF-023 holds, by the names of its entries. */
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
 * JSON text with the white space of Python's `json.dumps` and no other: one space behind each comma and colon. What
 * stands in between, the spelling of numbers and texts, is Python's already.
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
