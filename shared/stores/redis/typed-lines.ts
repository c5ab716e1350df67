import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { InvalidInputError } from '../../core/errors.ts';
import { LINE_BYTES_MAX } from '../entry-lines.ts';
import { canonicalScore, type Item, KEY_TYPES, type KeyPart, type StreamState } from './record.ts';
import { type ByteString, showKey, toBytes } from './scope.ts';

/**
 * Bytes in JSON lines: a JSON string if they are readable UTF-8, otherwise `{"base64": "…"}`. Both forms decode to
 * exactly the same bytes.
 */
const Text = z.string().refine((text) => text.isWellFormed(), 'must be text that can be encoded in UTF-8');
const Bytes = z.union([Text, z.strictObject({ base64: z.base64() })]);
type Bytes = z.infer<typeof Bytes>;

function encodeBytes(bytes: Buffer): Bytes {
  if (!isUtf8(bytes)) return { base64: bytes.toString('base64') };
  const text = bytes.toString('utf8');
  // A control character takes six bytes in JSON: if there are many, base64 is shorter.
  const isLong = CONTROL.test(text) && JSON.stringify(text).length > 2 * bytes.length;
  return isLong ? { base64: bytes.toString('base64') } : text;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const CONTROL = /[\u0000-\u001f]/;

function decodeBytes(bytes: Bytes): Buffer {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : Buffer.from(bytes.base64, 'base64');
}

const StreamId = z.string().regex(/^\d{1,20}-\d{1,20}$/, 'must be <ms>-<sequence>');
const Milliseconds = z.number().int().positive().max(Number.MAX_SAFE_INTEGER);
const Count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);

const Score = z.string().refine((text) => {
  try {
    return canonicalScore(text) === text;
  } catch (error) {
    return !(error instanceof RangeError);
  }
}, 'must be a double in its shortest decimal form, inf or -inf');

const Stream = z.strictObject({
  last_id: StreamId,
  max_deleted_id: StreamId.optional(),
  entries_added: Count.optional(),
  groups: z.array(
    z.strictObject({
      name: Bytes,
      last_id: StreamId,
      entries_read: Count.optional(),
      consumers: z.array(Bytes),
      pending: z.array(z.tuple([StreamId, Bytes, Count, Count])),
    }),
  ),
});

/** One line of a `.typed.jsonl` entry. */
const TypedLine = z.strictObject({
  key: Bytes,
  type: z.enum(KEY_TYPES),
  /** When the key expires, in ms since 1970. */
  expires_at: Milliseconds.optional(),
  /** If a key takes several lines: number of items in the earlier ones. */
  offset: Count.optional(),
  /** False on every line of a key but its last. */
  last: z.literal(false).optional(),
  /** Content by type; exactly one of them. */
  value: Bytes.optional(),
  items: z.array(Bytes).optional(),
  members: z.array(z.union([Bytes, z.tuple([Bytes, Score])])).optional(),
  fields: z.array(z.union([z.tuple([Bytes, Bytes]), z.tuple([Bytes, Bytes, Milliseconds])])).optional(),
  entries: z.array(z.tuple([StreamId], Bytes)).optional(),
  stream: Stream.optional(),
});
type TypedLine = z.infer<typeof TypedLine>;

/**
 * Encodes a part as one line, including the line feed. Throws InvalidInputError if it is longer than {@link
 * LINE_BYTES_MAX}: collection elements larger than about half of that cannot be saved.
 */
export function encodePart(part: KeyPart): Buffer {
  const line: TypedLine = {
    key: encodeBytes(toBytes(part.key)),
    type: part.type,
    ...(part.expiresAt === null ? {} : { expires_at: part.expiresAt }),
    ...(part.offset === 0 ? {} : { offset: part.offset }),
    ...(part.last ? {} : { last: false as const }),
    ...encodeContent(part),
    ...(part.stream ? { stream: encodeStream(part.stream) } : {}),
  };
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`, 'utf8');
  if (bytes.length > LINE_BYTES_MAX) {
    throw new InvalidInputError(
      `The ${part.type} "${showKey(part.key)}" has elements so large that a line of the archive would have ${bytes.length} bytes; at most ${LINE_BYTES_MAX} are allowed.`,
      {
        remedy:
          'Store such elements under keys of their own, or narrow the scope so that the key is left out.',
      },
    );
  }
  return bytes;
}

function encodeContent({ type, items }: KeyPart): Partial<TypedLine> {
  const first = (item: Item) => encodeBytes(item[0] ?? Buffer.alloc(0));
  const second = (item: Item) => encodeBytes(item[1] ?? Buffer.alloc(0));
  switch (type) {
    case 'string':
      return { value: encodeBytes(Buffer.concat(items.flat())) };
    case 'list':
      return { items: items.map(first) };
    case 'set':
      return { members: items.map(first) };
    case 'zset':
      return { members: items.map((item): [Bytes, string] => [first(item), String(item[1])]) };
    case 'hash':
      return {
        fields: items.map((item): [Bytes, Bytes] | [Bytes, Bytes, number] =>
          item[2] ? [first(item), second(item), Number(item[2])] : [first(item), second(item)],
        ),
      };
    case 'stream':
      return {
        entries: items.map(([id, ...fields]): [string, ...Bytes[]] => [
          String(id),
          ...fields.map(encodeBytes),
        ]),
      };
  }
}

function encodeStream(stream: StreamState): z.infer<typeof Stream> {
  const name = (bytes: ByteString) => encodeBytes(toBytes(bytes));
  return {
    ...stream,
    groups: stream.groups.map((group) => ({
      ...group,
      name: name(group.name),
      consumers: group.consumers.map(name),
      pending: group.pending.map(([id, consumer, time, count]): [string, Bytes, number, number] => [
        id,
        name(consumer),
        time,
        count,
      ]),
    })),
  };
}

/** Parses one line. Throws an error whose message states what is wrong, without data. */
export function decodePart(line: string): KeyPart {
  const parsed = TypedLine.safeParse(parse(line));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Error(`${issue?.path.join('.') || 'line'}: ${issue?.message ?? 'is not valid'}`);
  }
  const { key, type, expires_at, offset, last, stream } = parsed.data;
  if ((stream !== undefined) !== (type === 'stream' && last !== false)) {
    throw new Error('stream: belongs to the last line of a stream, and only there');
  }
  return {
    key: decodeBytes(key).toString('latin1'),
    type,
    expiresAt: expires_at ?? null,
    offset: offset ?? 0,
    last: last !== false,
    items: decodeContent(parsed.data),
    ...(stream ? { stream: decodeStream(stream) } : {}),
  };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new Error('line: is not JSON', { cause });
  }
}

const CONTENT = {
  string: 'value',
  list: 'items',
  set: 'members',
  zset: 'members',
  hash: 'fields',
  stream: 'entries',
} as const;

function decodeContent(line: TypedLine): Item[] {
  const name = CONTENT[line.type];
  const given = (['value', 'items', 'members', 'fields', 'entries'] as const).filter(
    (field) => line[field] !== undefined,
  );
  if (given.length !== 1 || given[0] !== name)
    throw new Error(`${name}: a ${line.type} has this field and no other`);
  switch (line.type) {
    case 'string':
      return [[decodeBytes(line.value ?? '')]];
    case 'list':
      return (line.items ?? []).map((item) => [decodeBytes(item)]);
    case 'set':
    case 'zset':
      return (line.members ?? []).map((member) => {
        if (Array.isArray(member) !== (line.type === 'zset'))
          throw new Error('members: have another shape in this type');
        return Array.isArray(member)
          ? [decodeBytes(member[0]), Buffer.from(member[1])]
          : [decodeBytes(member)];
      });
    case 'hash':
      return (line.fields ?? []).map(([field, value, expiry]) => [
        decodeBytes(field),
        decodeBytes(value),
        ...(expiry === undefined ? [] : [Buffer.from(String(expiry))]),
      ]);
    case 'stream':
      return (line.entries ?? []).map(([id, ...fields]) => {
        if (fields.length === 0 || fields.length % 2 !== 0)
          throw new Error('entries: need pairs of field and value');
        return [Buffer.from(id), ...fields.map(decodeBytes)];
      });
  }
}

function decodeStream(stream: z.infer<typeof Stream>): StreamState {
  const name = (bytes: Bytes) => decodeBytes(bytes).toString('latin1');
  const { max_deleted_id, entries_added } = stream;
  return {
    last_id: stream.last_id,
    ...(max_deleted_id === undefined ? {} : { max_deleted_id }),
    ...(entries_added === undefined ? {} : { entries_added }),
    groups: stream.groups.map(({ entries_read, ...group }) => ({
      name: name(group.name),
      last_id: group.last_id,
      ...(entries_read === undefined ? {} : { entries_read }),
      consumers: group.consumers.map(name),
      pending: group.pending.map(([id, consumer, time, count]) => [id, name(consumer), time, count] as const),
    })),
  };
}
