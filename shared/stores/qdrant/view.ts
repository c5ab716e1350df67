import { createHash } from 'node:crypto';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { ArchiveView, rewriteLines, type ViewedEntry } from '../../archive/read/view.ts';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import type { Route, RouteRequest } from '../route.ts';
import { pointLines } from './archived-points.ts';
import { type ArchivedCollection, configEntryBytes, readCollections } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { entryPart, FOLDER, isReserved, isScratch, parseEntryName } from './names.ts';
import { isDotSegment } from './paths.ts';
import { CompactJson, canonicalObject, compareIds, type PointText, parsePointLine } from './point-text.ts';

/** Determines which collections are restored, and under which names: see `StoreAdapter.route`. */
export async function routeVectors(
  archive: EntryReader,
  saved: QdrantScope | undefined,
  target: QdrantScope,
  request: RouteRequest,
): Promise<Route<QdrantScope>> {
  const route = await routeCollections(archive, saved, target, request);
  const taken = Object.values(route.names).find((name) => isReserved(name) || isScratch(name));
  if (taken === undefined) return route;
  throw refused(`"${taken}" can't be the name of a collection`, 'Choose another name.');
}

/** The same for drills, which use reserved names. */
export async function routeCollections(
  archive: EntryReader,
  saved: QdrantScope | undefined,
  target: QdrantScope,
  { only, rename, sameProfile, origin }: RouteRequest,
): Promise<Route<QdrantScope>> {
  const archived = await readCollections(archive);
  const has = (name: string) => archived.some((collection) => namesOf(collection).includes(name));
  const unknown = [...(only.collections ?? []), ...Object.keys(rename.collections ?? {})].find(
    (name) => !has(name),
  );
  if (unknown !== undefined) {
    throw refused(
      `the archive contains no collection "${unknown}"`,
      `Choose from: ${archived.map(({ name }) => name).join(', ')}.`,
    );
  }
  const names: Record<string, string> = {};
  for (const collection of archived) {
    const { name } = collection;
    if (only.collections && !namesOf(collection).some((known) => only.collections?.includes(known))) continue;
    const to = rename.collections?.[name] ?? nameAt(collection, saved, target, sameProfile);
    const duplicate = Object.keys(names).find((other) => names[other] === to);
    if (duplicate !== undefined) {
      throw refused(
        `collections "${duplicate}" and "${name}" would both be named "${to}"`,
        'Give them two names.',
      );
    }
    if (isDotSegment(to)) {
      throw refused(`"${to}" can't be the name of a collection`, 'Choose another name.');
    }
    names[name] = to;
  }
  checkFilters(saved, target);
  const renamed = Object.entries(names).filter(([from, to]) => from !== to);
  const given = only.collections !== undefined || (target.collections === undefined && renamed.length > 0);
  const collections = given
    ? Object.values(names)
    : target.collections?.map((name) => rename.collections?.[name] ?? name);
  const changes = renamed.map(([from, to]) => `collection "${from}" becomes "${to}"`);
  for (const { name, config } of archived) {
    const remaining = config?.aliases ?? [];
    if (names[name] !== undefined && names[name] !== name && remaining.length > 0) {
      changes.push(`aliases of "${name}" (${remaining.join(', ')}) stay with the collection of that name`);
    }
  }
  if (saved?.filter && target.filter && saved.filter.value !== target.filter.value) {
    changes.push(
      `${target.filter.key} ${JSON.stringify(saved.filter.value)} becomes ${JSON.stringify(target.filter.value)}, and ids of points with it`,
    );
  }
  if (only.collections && Object.keys(names).length < archived.length) {
    changes.push(`only the collections ${Object.keys(names).join(', ')}`);
  }
  if (origin) {
    changes.push(`every point gets ${Object.keys(originOf(origin, '')).join(', ')}`);
  }
  return {
    saved,
    ...(origin === undefined ? {} : { origin }),
    scope: { ...target, ...(collections === undefined || collections.length === 0 ? {} : { collections }) },
    names,
    changes,
  };
}

function namesOf({ name, config }: ArchivedCollection): string[] {
  return [name, ...(config?.aliases ?? [])];
}

/** The target's name for a collection: the same name, or the one at the same position in the profile's list. */
function nameAt(
  collection: ArchivedCollection,
  saved: QdrantScope | undefined,
  target: QdrantScope,
  sameProfile: boolean,
): string {
  const { name } = collection;
  const known = namesOf(collection);
  if (!target.collections || known.some((entry) => target.collections?.includes(entry))) return name;
  const at = saved?.collections?.findIndex((entry) => known.includes(entry)) ?? -1;
  const counterpart = target.collections[at];
  if (sameProfile && counterpart !== undefined && saved?.collections?.length === target.collections.length) {
    return counterpart;
  }
  throw refused(
    `collection "${name}" of the archive is not in the target's scope (${target.collections.join(', ')}), and the request does not say which of these it becomes`,
    'Rename it (rename.collections), or leave it out (only.collections).',
  );
}

function checkFilters(saved: QdrantScope | undefined, target: QdrantScope): void {
  if (!saved?.filter || !target.filter) return;
  const [from, to] = [saved.filter, target.filter];
  if (from.key !== to.key) {
    throw refused(
      `points were saved by "${from.key}" of their payload, and the target distinguishes them by "${to.key}"`,
      'Restore into a target of the same profile.',
    );
  }
  if (from.value === to.value) return;
  if (from.key.includes('.')) {
    throw refused(`"${from.key}" lies inside another field of the payload`, 'Restore it under its own name.');
  }
  if (!target.point_ids) {
    throw refused(
      `the scope does not define how point IDs derive from ${from.key}, so those of ${JSON.stringify(to.value)} could replace others`,
      'Set "point_ids" in the scope of the vectors, or restore under the name that was saved.',
    );
  }
}

/** Views the vectors as they look at the destination: other collections, another filter value with other IDs. */
export function viewVectors(archive: EntryReader, route: Route<QdrantScope>): EntryReader {
  const { saved, scope, names } = route;
  if (route.changes.length === 0) return archive;
  const other = saved?.filter && scope.filter && saved.filter.value !== scope.filter.value;
  let read: Promise<Map<string, ArchivedCollection>> | undefined;
  const byPart = () => {
    read ??= readCollections(archive).then((all) => new Map(all.map((entry) => [entry.part, entry])));
    return read;
  };
  const move = other ? pointMover(saved, scope) : undefined;
  const { origin } = route;
  return new ArchiveView(archive, FOLDER, async (entry) => {
    const parsed = parseEntryName(entry.name);
    const collection = parsed && (await byPart()).get(parsed.part);
    if (!parsed || !collection) return [];
    const to = names[collection.name];
    if (to === undefined) return [];
    const name = `${FOLDER}${entryPart(to)}${entry.name.slice(FOLDER.length + parsed.part.length)}`;
    if (parsed.kind === 'config') {
      return [{ name, content: () => rewriteConfig(collection, to, scope, move !== undefined) }];
    }
    // Points in snapshots are labelled after they are loaded.
    if (parsed.kind !== 'points' || !(move || origin)) return [{ name }];
    const label = origin && pointLabeller(originOf(origin, collection.name));
    const change = (point: PointText) => {
      const moved = move ? move(point) : point;
      return label ? label(moved) : moved;
    };
    return [changedPoints(archive, entry, name, change)];
  });
}

async function* rewriteConfig(
  { name, config }: ArchivedCollection,
  to: string,
  { filter }: QdrantScope,
  moved: boolean,
): AsyncGenerator<Uint8Array> {
  if (!config) return;
  const { view: _, ...entry } = config;
  yield configEntryBytes({
    ...entry,
    collection: to,
    // An alias points to a single collection on the server, so only a collection that keeps its name keeps its aliases.
    aliases: to === name ? entry.aliases : [],
    ...(moved && filter ? { filter: { key: filter.key, value: filter.value }, rewritten_ids: true } : {}),
  });
}

function changedPoints(
  archive: EntryReader,
  entry: IndexEntry,
  name: string,
  change: (point: PointText) => PointText,
): ViewedEntry {
  const content = async function* () {
    // Holds and sorts the points of one entry, because readers rely on ID order within an entry.
    const changed: PointText[] = [];
    for await (const line of pointLines(archive.open(entry), entry))
      changed.push(change(parsePointLine(line)));
    changed.sort((left, right) => compareIds(left.id, right.id));
    yield* rewriteLines(linesOf(changed), (line) => line);
  };
  return { name, content };
}

async function* linesOf(points: readonly PointText[]): AsyncGenerator<string> {
  for (const { raw } of points) yield raw;
}

/** Rewrites a point to the new value of the filter, and to the ID derived from it. */
function pointMover(saved: QdrantScope, scope: QdrantScope) {
  const [from, to, ids] = [saved.filter, scope.filter, scope.point_ids];
  if (!from || !to || !ids) throw new TypeError('points are moved between two values of a filter');
  const key = JSON.stringify(to.key);
  return (point: PointText): PointText => {
    const members = new CompactJson(point.canonical).object();
    const payload = new CompactJson(members.get('"payload"') ?? '{}').object();
    const text: unknown = JSON.parse(payload.get(JSON.stringify(ids.field)) ?? 'null');
    if (payload.get(key) !== JSON.stringify(from.value)) {
      throw refused(
        `point ${point.id} has a different ${to.key} than ${JSON.stringify(from.value)}`,
        ANOTHER_ARCHIVE,
      );
    }
    if (typeof text !== 'string' || derivedId(from.value, text) !== point.id) {
      throw refused(
        `the id of point ${point.id} does not derive from ${to.key} and "${ids.field}" as the profile defines`,
        'Restore under the name that was saved.',
      );
    }
    payload.set(key, JSON.stringify(to.value));
    const id = derivedId(to.value, text);
    members.set('"payload"', canonicalObject(payload));
    members.set('"id"', id);
    return pointOf(id, members);
  };
}

function pointOf(id: string, members: Map<string, string>): PointText {
  const text = canonicalObject(members);
  return { id, raw: text, canonical: text };
}

/** The origin labels for the points of a collection, by its name in the archive. */
export function originOf(
  origin: Readonly<Record<string, string>>,
  collection: string,
): Readonly<Record<string, string>> {
  return { ...origin, original_collection: collection };
}

/** Adds the origin of a point to its payload. */
function pointLabeller(origin: Readonly<Record<string, string>>) {
  return (point: PointText): PointText => {
    const members = new CompactJson(point.canonical).object();
    const present = members.get('"payload"') ?? 'null';
    const payload = present === 'null' ? new Map<string, string>() : new CompactJson(present).object();
    for (const [field, value] of Object.entries(origin)) {
      if (payload.has(JSON.stringify(field))) {
        throw refused(
          `point ${point.id} has "${field}" already, from an earlier restore`,
          'Restore without labels of origin.',
        );
      }
      payload.set(JSON.stringify(field), JSON.stringify(value));
    }
    members.set('"payload"', canonicalObject(payload));
    return pointOf(point.id, members);
  };
}

/**
 * Derives an ID as LightRAG does (`compute_mdhash_id_for_qdrant`): JSON text of a UUID derived from SHA-256, marked as
 * version 4.
 */
export function derivedId(value: string | number | boolean, text: string): string {
  const bytes = createHash('sha256').update(`${value}${text}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return `"${bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')}"`;
}

function refused(problem: string, remedy: string): InvalidInputError {
  return new InvalidInputError(`The vectors cannot be restored with these options: ${problem}.`, { remedy });
}
