import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { ArchiveView, type ViewedEntry } from '../../archive/read/view.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { Route, RouteRequest } from '../route.ts';
import { othersExpiryLine, readExpiries, readTyped } from './archive-records.ts';
import { readMembers } from './json-entry.ts';
import { parseEntryName } from './names.ts';
import {
  type ByteString,
  escapeGlob,
  KeySpace,
  literalHead,
  type RedisScope,
  showKey,
  toByteString,
  toBytes,
} from './scope.ts';
import { encodePart } from './typed-lines.ts';

/** Selects the keys to restore, and maps their names: see `StoreAdapter.route`. */
export async function routeKeys(
  _archive: EntryReader,
  saved: RedisScope | undefined,
  target: RedisScope,
  { only, rename, origin }: RouteRequest,
): Promise<Route<RedisScope>> {
  const { only: _, ...from } = saved ?? target;
  if (rename.key_prefix !== undefined && saved === undefined) {
    throw refused(
      'the archive does not state the prefix of its keys, so the prefix cannot be renamed',
      'Restore into a target with the same prefix.',
    );
  }
  const to = rename.key_prefix === undefined ? target : withPrefix(target, rename.key_prefix);
  checkNamespaces(from, to);
  const mover = new KeyMover(from, to);
  const known = new Set(from.namespaces?.map(({ name }) => name));
  const unknown = only.namespaces?.find((name) => !from.separator && !known.has(name) && name !== '_other');
  if (unknown !== undefined) {
    throw refused(`the archive has no namespace "${unknown}"`, `Choose from: ${[...known].join(', ')}.`);
  }
  const prefixes = only.key_prefixes?.map((prefix) =>
    toBytes(mover.move(toByteString(prefix))).toString('utf8'),
  );
  const limited = only.namespaces !== undefined || prefixes !== undefined;
  const part = {
    ...(only.namespaces === undefined ? {} : { namespaces: [...only.namespaces] }),
    ...(prefixes === undefined ? {} : { prefixes }),
  };
  return {
    saved,
    scope: limited ? { ...to, only: part } : to,
    names: {},
    ...(origin === undefined ? {} : { origin }),
    changes: [
      ...mover.changes,
      ...(only.namespaces ? [`only the namespaces ${only.namespaces.join(', ')}`] : []),
      ...(only.key_prefixes ? [`only keys that start with ${only.key_prefixes.join(', ')}`] : []),
    ],
  };
}

/** The same scope with another prefix. */
function withPrefix(scope: RedisScope, prefix: string): RedisScope {
  const swap = (text: string, from: string, to: string) => {
    if (text.startsWith(from)) return to + text.slice(from.length);
    throw refused(
      `a namespace of the target does not start with its prefix "${scope.prefix}"`,
      'Restore into another target.',
    );
  };
  const glob = (text: string) => swap(text, escapeGlob(scope.prefix), escapeGlob(prefix));
  const namespaces = scope.namespaces?.map((namespace) => ({
    ...namespace,
    prefix: swap(namespace.prefix, scope.prefix, prefix),
    ...(namespace.also === undefined ? {} : { also: namespace.also.map(glob) }),
  }));
  const start = escapeGlob(scope.prefix);
  const exclude = scope.exclude?.map((text) => (text.startsWith(start) ? glob(text) : text));
  return {
    ...scope,
    prefix,
    ...(namespaces === undefined ? {} : { namespaces }),
    ...(exclude === undefined ? {} : { exclude }),
  };
}

function checkNamespaces(from: RedisScope, to: RedisScope): void {
  if (from.separator !== to.separator) {
    throw refused(
      'archive and target derive the namespace of keys differently ("separator")',
      'Restore into a target of the same profile.',
    );
  }
  const names = new Set(to.namespaces?.map(({ name }) => name));
  const missing = from.namespaces?.find(({ name }) => !names.has(name));
  if (missing && JSON.stringify(from) !== JSON.stringify(to)) {
    throw refused(
      `the target has no namespace "${missing.name}"`,
      'Add it to the scope of the target, or restore into a target of the same profile.',
    );
  }
}

/** Renames keys of one scope to their names in another scope. */
class KeyMover {
  /** Prefixes at the source and destination, longest first. */
  readonly #prefixes: readonly { from: ByteString; to: ByteString }[];
  readonly #from: KeySpace;
  readonly #to: KeySpace;
  readonly changes: readonly string[];

  constructor(from: RedisScope, to: RedisScope) {
    const pairs = new Map([[from.prefix, to.prefix]]);
    for (const { name, prefix, also } of from.namespaces ?? []) {
      const counterpart = to.namespaces?.find((candidate) => candidate.name === name);
      if (!counterpart) continue;
      pairs.set(prefix, counterpart.prefix);
      for (const [index, pattern] of (also ?? []).entries()) {
        const other = counterpart.also?.[index];
        if (other !== undefined) pairs.set(literalHead(pattern), literalHead(other));
      }
    }
    this.#prefixes = [...pairs]
      .map(([left, right]) => ({ from: toByteString(left), to: toByteString(right) }))
      .sort((left, right) => right.from.length - left.from.length);
    this.#from = new KeySpace(from);
    this.#to = new KeySpace(to);
    this.changes =
      from.prefix === to.prefix
        ? [...pairs].filter(([left, right]) => left !== right).map(describe)
        : [describe([from.prefix, to.prefix])];
  }

  /** Maps a key, or a key prefix, to its name at the destination. */
  move(key: ByteString): ByteString {
    for (const { from, to } of this.#prefixes) if (key.startsWith(from)) return to + key.slice(from.length);
    throw refused(`"${showKey(key)}" is not part of the scope that was saved`, REMEDY);
  }

  /** As {@link move}, for complete keys, which must stay in their namespace. */
  moveKey(key: ByteString): ByteString {
    const moved = this.move(key);
    const [before, after] = [this.#from.namespaceOf(key), this.#to.namespaceOf(moved)];
    if (before !== undefined && before === after) return moved;
    throw refused(
      `key "${showKey(key)}" would become "${showKey(moved)}", which is ${after === undefined ? 'not part of the scope there' : `in namespace "${after}" there`}`,
      REMEDY,
    );
  }
}

const REMEDY = 'Choose another prefix, or a target of the same profile.';

function describe([from, to]: [string, string]): string {
  return `keys "${from}…" become "${to}…"`;
}

/** The archive as it will be at its destination: only the selected keys, with their new names. */
export function viewKeys(archive: EntryReader, { saved, scope, changes }: Route<RedisScope>): EntryReader {
  if (changes.length === 0) return archive;
  const { only: _, ...from } = saved ?? scope;
  const { only: __, ...to } = scope;
  const mover = new KeyMover(from, to);
  const wanted = new KeySpace(scope);
  const move = (key: ByteString): ByteString | undefined => {
    const moved = mover.moveKey(key);
    return wanted.namespaceOf(moved) === undefined ? undefined : moved;
  };
  return new ArchiveView(archive, 'kv/', async (entry): Promise<ViewedEntry[]> => {
    const { name } = entry;
    switch (parseEntryName(name)?.form) {
      case 'json':
        return [{ name, content: () => jsonContent(archive, entry, move) }];
      case 'expiry':
        return [{ name, content: () => expiryContent(archive, entry, move) }];
      case 'typed':
        return [{ name, content: () => typedContent(archive, entry, move) }];
      default:
        return [{ name }];
    }
  });
}

type Move = (key: ByteString) => ByteString | undefined;

async function* jsonContent(archive: EntryReader, entry: IndexEntry, move: Move): AsyncGenerator<Uint8Array> {
  let separator = '{';
  for await (const { key, value } of readMembers(archive.open(entry))) {
    const moved = move(key.toString('latin1'));
    if (moved === undefined) continue;
    yield Buffer.concat([Buffer.from(`${separator}\n${keyText(moved)}: `), value]);
    separator = ',';
  }
  yield Buffer.from(separator === '{' ? '{}\n' : '\n}\n');
}

async function* expiryContent(
  archive: EntryReader,
  entry: IndexEntry,
  move: Move,
): AsyncGenerator<Uint8Array> {
  const { byKey, others } = await readExpiries(archive, entry);
  if (others !== null) yield othersExpiryLine(others);
  for (const [key, expiresAt] of byKey) {
    const moved = move(key);
    if (moved !== undefined) yield Buffer.from(`{"key":${keyText(moved)},"expires_at":${expiresAt}}\n`);
  }
}

async function* typedContent(
  archive: EntryReader,
  entry: IndexEntry,
  move: Move,
): AsyncGenerator<Uint8Array> {
  for await (const { part } of readTyped(archive, entry)) {
    const moved = move(part.key);
    if (moved !== undefined) yield encodePart({ ...part, key: moved });
  }
}

/** Keys in JSON entries are UTF-8. */
function keyText(key: ByteString): string {
  return JSON.stringify(toBytes(key).toString('utf8'));
}

function refused(problem: string, remedy: string): InvalidInputError {
  return new InvalidInputError(`The key-value data cannot be restored with these options: ${problem}.`, {
    remedy,
  });
}
