import { gzipSync } from 'node:zlib';
import { type Forgery, forge, paxEntry, rawArchive, rawEntry } from './forge.ts';

/**
 * Archives that a reader must refuse, each with one fault. Tests use them, and test/archive/write-corpus.ts writes them
 * as files, for tests of a deployed stack or of other readers. A new attack is one more line here.
 */
type Hostile<Made> = [what: string, made: Made, reason: RegExp];

/** Seekable archives, in the format that a backup writes. */
export const FORGERIES: readonly Hostile<Forgery>[] = [
  [
    'an entry twice',
    {
      contents: [
        { name: 'a', data: Buffer.from('1') },
        { name: 'a', data: Buffer.from('2') },
      ],
    },
    /"a" is there twice/,
  ],
  [
    'names that differ only in case',
    {
      contents: [
        { name: 'kv/a', data: Buffer.from('1') },
        { name: 'kv/A', data: Buffer.from('2') },
      ],
    },
    /twice/,
  ],
  [
    'names that differ only in Unicode form',
    {
      contents: [
        { name: 'é', data: Buffer.from('1') },
        { name: 'e\u0301', data: Buffer.from('2') },
      ],
    },
    /twice/,
  ],
  [
    'an entry called like the manifest',
    { contents: [{ name: 'Manifest.json', data: Buffer.from('1') }] },
    /twice/,
  ],
  [
    'an index entry that points outside',
    {
      index: (lines) => lines.map((line, at) => (at === 1 ? { ...line, length: line.length + 1e6 } : line)),
    },
    /"kv\/b.json" does not follow the one/,
  ],
  [
    'index entries that overlap',
    { index: (lines) => lines.map((line, at) => (at === 1 ? { ...line, offset: 0 } : line)) },
    /"kv\/b.json" does not follow the one/,
  ],
  ['an index that leaves an entry out', { index: (lines) => lines.slice(0, 1) }, /does not cover all/],
  [
    'an index that leaves the first entry out',
    { index: (lines) => lines.slice(1) },
    /does not follow the one/,
  ],
  [
    'an index entry of another name than the tar header',
    { index: (lines) => lines.map((line) => ({ ...line, name: `${line.name}x` })) },
    /"graph\/a.jsonlx".*tar header/,
  ],
  [
    'an index entry of another size than the tar header',
    { index: (lines) => lines.map((line) => ({ ...line, size: line.size + 1 })) },
    /"graph\/a.jsonl".*tar header/,
  ],
  [
    'an index entry of another digest',
    {
      index: (lines) =>
        lines.map((line) => ({
          ...line,
          sha256: '0'.repeat(63) + (line.name === 'kv/b.json' ? '1' : '2'),
        })),
    },
    /"kv\/b.json".*SHA-256/,
  ],
  [
    'an index entry of another CRC',
    { index: (lines) => lines.map((line) => ({ ...line, crc32: 1 })) },
    /"graph\/a.jsonl".*CRC-32/,
  ],
  ['a negative offset', { indexText: (text) => text.replace('"offset":0', '"offset":-1') }, /not an entry/],
  [
    'an overflowing size',
    { indexText: (text) => text.replace(/"size":\d+/, '"size":1e300') },
    /not an entry/,
  ],
  ['a fractional size', { indexText: (text) => text.replace(/"size":\d+/, '"size":1.5') }, /not an entry/],
  ['an index that is not JSON', { indexText: (text) => `${text}garbage\n` }, /not an entry/],
  ['an index with an endless line', { indexText: (text) => text + ' '.repeat(10_000) }, /line of more than/],
  ['an index whose last line has no end', { indexText: (text) => text.slice(0, -1) }, /without a line feed/],
  [
    'a parent path',
    { index: (lines) => lines.map((line) => ({ ...line, name: `../${line.name}` })) },
    /parent folder/,
  ],
  [
    'an absolute path',
    { index: (lines) => lines.map((line) => ({ ...line, name: `/${line.name}` })) },
    /absolute/,
  ],
  [
    'a path with a backslash',
    { index: (lines) => lines.map((line) => ({ ...line, name: `a\\${line.name}` })) },
    /backslash/,
  ],
  [
    'a drive letter',
    { index: (lines) => lines.map((line) => ({ ...line, name: `c:${line.name}` })) },
    /drive/,
  ],
  [
    'a control character in a name',
    { index: (lines) => lines.map((line) => ({ ...line, name: `\u001b[2J${line.name}` })) },
    /control character/,
  ],
  [
    'sums that leave an entry out',
    { sums: (text) => text.split('\n').slice(1).join('\n') },
    /SHA256SUMS and index.jsonl differ/,
  ],
  [
    'sums that are not sorted',
    { sums: (text) => `${text.trimEnd().split('\n').reverse().join('\n')}\n` },
    /not sorted/,
  ],
  [
    'sums that list an entry twice',
    { sums: (text) => `${text}${text.trimEnd().split('\n').at(-1)}\n` },
    /not sorted/,
  ],
  ['sums that are none', { sums: () => 'nothing\n' }, /not a digest/],
  [
    'another checksum',
    { manifest: (manifest) => ({ ...manifest, checksum: '0'.repeat(64) }) },
    /does not match the checksum in the manifest/,
  ],
  [
    'a manifest with more entries',
    { manifest: (m) => ({ ...m, index: { ...(m.index as object), entries: 3 } }) },
    /does not match the manifest/,
  ],
  [
    'a manifest of a later major version',
    { manifest: (m) => ({ ...m, format_version: '2.3' }) },
    /format version 2.3; this ngbak .* reads version 1/,
  ],
  [
    'a manifest without a version',
    { manifest: ({ format_version, ...rest }) => rest },
    /has no format version/,
  ],
  ['a manifest that is a list', { manifestText: () => '[]' }, /not a JSON object/],
  [
    'a manifest that is nested too deep',
    { manifestText: () => `${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}` },
    /nested deeper than 32/,
  ],
  ['a manifest that is not JSON', { manifestText: (text) => text.slice(1) }, /is not JSON/],
  [
    'a manifest with a backup id that leads elsewhere',
    { manifest: (m) => ({ ...m, backup_id: '../../x' }) },
    /backup_id/,
  ],
  [
    'an end that is not zero',
    { end: Buffer.concat([Buffer.alloc(512), Buffer.alloc(512, 1)]) },
    /two zero blocks/,
  ],
  ['an end that is too long', { end: Buffer.alloc(2048) }, /two zero blocks/],
  [
    'another file in place of the index',
    { footer: (f) => ({ ...f, index: f.sums, sums: f.index }) },
    /damaged/,
  ],
  [
    'a footer that points outside',
    { footer: (f) => ({ ...f, offset: f.offset + 1 }) },
    /its footer describes/,
  ],
  ['a footer with an overflowing offset', { footer: (f) => ({ ...f, offset: 2 ** 52 }) }, /outside/],
  [
    'bytes before the first entry',
    { data: (data) => Buffer.concat([gzipSync('x'), data]) },
    /damaged|does not|"graph/,
  ],
];
const size = (text: string) => Buffer.from(text.padEnd(12, '\0'), 'latin1');
const negative = Buffer.alloc(12, 0xff);
const overflow = Buffer.alloc(12, 0xff);
overflow[0] = 0xbf;
const long = (name: string) => rawEntry({ name: '././@LongLink', type: 'L', data: Buffer.from(`${name}\0`) });
/** Entries of archives that another tool packed, which are read sequentially. */
export const TARS: readonly Hostile<Buffer[]>[] = [
  ['a symbolic link', [rawEntry({ type: '2' })], /symbolic link/],
  ['a hard link', [rawEntry({ type: '1' })], /hard link/],
  ['a character device', [rawEntry({ type: '3' })], /character device/],
  ['a block device', [rawEntry({ type: '4' })], /block device/],
  ['a named pipe', [rawEntry({ type: '6' })], /named pipe/],
  ['a sparse file', [rawEntry({ type: 'S' })], /sparse/],
  ['a sparse file of PAX', [paxEntry({ 'GNU.sparse.major': '1' }), rawEntry({})], /sparse/],
  ['an unknown type', [rawEntry({ type: 'Z' })], /of type "Z"/],
  ['an absolute path', [rawEntry({ name: '/etc/passwd' })], /absolute/],
  ['a parent path', [rawEntry({ name: 'a/../../b' })], /parent/],
  ['a parent path behind ./', [rawEntry({ name: './../b' })], /parent/],
  ['a parent path in the prefix', [rawEntry({ name: 'b', prefix: '..' })], /parent/],
  ['a parent path in a GNU long name', [long('../b'), rawEntry({})], /parent/],
  ['a parent path in PAX', [paxEntry({ path: '../b' }), rawEntry({})], /parent/],
  ['a global PAX path', [rawEntry({ type: 'g', data: Buffer.from('10 path=x\n') }), rawEntry({})], /global/],
  ['a backslash', [rawEntry({ name: 'a\\b' })], /backslash/],
  ['a line feed in a name', [rawEntry({ name: 'a\nb' })], /control character/],
  ['a name that is not UTF-8', [rawEntry({ name: Buffer.from([0xff, 0xfe]) })], /not UTF-8/],
  ['an empty name', [rawEntry({ name: '' })], /is empty/],
  ['a name twice', [rawEntry({ name: 'a' }), rawEntry({ name: './a' })], /twice/],
  ['a negative size', [rawEntry({ size: negative })], /negative/],
  ['a size beyond 2^53', [rawEntry({ size: overflow })], /negative or out of bounds/],
  ['a size that is not a number', [rawEntry({ size: size('12x') })], /not a number/],
  [
    'a size beyond the limit',
    [rawEntry({ size: Buffer.from([0x80, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0]) })],
    /the limit is/,
  ],
  ['a PAX size that overflows', [paxEntry({ size: '99999999999999999999' }), rawEntry({})], /out of bounds/],
  ['a negative PAX size', [paxEntry({ size: '-1' }), rawEntry({})], /out of bounds/],
  [
    'a PAX header without end',
    [rawEntry({ type: 'x', data: Buffer.from('99 path=a\n') }), rawEntry({})],
    /malformed/,
  ],
  ['a huge PAX header', [rawEntry({ type: 'x', size: size('00777777777') })], /extended header says/],
  ['a huge GNU long name', [rawEntry({ type: 'L', size: size('00777777777') })], /extended header says/],
  ['endless extended headers', [...Array.from({ length: 20 }, () => long('x')), rawEntry({})], /more than 8/],
  ['a wrong header checksum', [rawEntry({ badChecksum: true })], /wrong checksum/],
  ['a folder with content', [rawEntry({ type: '5', data: Buffer.from('x') })], /has content/],
  ['a single zero block', [Buffer.alloc(512), rawEntry({})], /single zero block/],
  ['a long name for nothing', [long('x')], /without a file/],
  ['no manifest', [rawEntry({})], /no manifest.json/],
  ['a huge manifest', [rawEntry({ name: 'manifest.json', size: size('00777777777') })], /the limit is/],
];

/** Every archive of the corpus, with the expected error. */
export async function* hostileArchives(): AsyncGenerator<{ name: string; bytes: Buffer; reason: RegExp }> {
  for (const [what, forgery, reason] of FORGERIES) {
    yield { name: nameOf('seekable', what), bytes: await forge(forgery), reason };
  }
  for (const [what, entries, reason] of TARS) {
    yield { name: nameOf('tar', what), bytes: rawArchive(entries), reason };
  }
}

function nameOf(kind: string, what: string): string {
  return `${kind}-${what.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.ngbak`;
}
