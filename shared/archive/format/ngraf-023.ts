import type { Tallies } from '../../core/digest.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import type { Json } from '../../core/json.ts';
import type { ByStore, StoreName } from '../../core/store-names.ts';
import type { ManifestDraft } from './manifest.ts';
import { encodeNamePart, quoteName } from './names.ts';
import type { EntryPiece } from './types.ts';

/**
 * Archives of NGRAF-023, ngbak's predecessor: `tar.gz` with `manifest.json` (without a format version),
 * `graph/neo4j.dump` (Cypher text), `qdrant/<collection>.snapshot`, `kv/<namespace>.json`,
 * `config/graphrag_config.json`. Exact information is converted; missing information is listed and never guessed.
 */
export const NGRAF_023 = 'NGRAF-023';

/** The graph: a Cypher script that `apoc.export.cypher` wrote. */
export const SCRIPT_NAME = 'graph/neo4j.dump';

/** The contents of a script besides its records. */
export interface ConvertedScript {
  /** The scope that was saved, in the terms of the graph's adapter; undefined if it can't be determined. */
  readonly scope: Json | undefined;
  readonly tallies: Tallies;
  /** Missing information, in words. */
  readonly lacks: readonly string[];
}

/** Reads a script, without executing any of it, and converts it into entries of the graph. */
export type ScriptReader = (script: AsyncIterable<Uint8Array>) => AsyncGenerator<EntryPiece, ConvertedScript>;

/** The new name of a file of such an archive; undefined for other files, which keep their names. */
export function convertName(name: string): string | undefined {
  const snapshot = /^qdrant\/([^/]+)\.snapshot$/.exec(name)?.[1];
  return snapshot === undefined ? undefined : `vectors/${encodeNamePart(snapshot)}.snapshot`;
}

/** Files whose content decides whether they can be converted. */
export function isKeyValueFile(name: string): boolean {
  return /^kv\/[^/]+\.json$/.test(name);
}

/** The new name of a key-value file that is a list of values without their keys. */
export function keylessName(name: string): string {
  return `ngraf-023/${name}`;
}

/** Whether a manifest belongs to NGRAF-023: it has its fields, and no format version. */
export function isNgraf023(manifest: Record<string, unknown>): boolean {
  return (
    manifest.format_version === undefined &&
    typeof manifest.backup_id === 'string' &&
    'storage_backends' in manifest
  );
}

/**
 * The manifest of an archive converted from one of NGRAF-023. `names` are the entries of the new archive, `graph`
 * describes the script, if it was read. Throws InvalidInputError if the id or the time of the backup can't be
 * determined.
 */
export function convertManifest(
  old: Record<string, unknown>,
  names: readonly string[],
  where: string,
  graph?: ConvertedScript,
): ManifestDraft {
  const lacks = [
    'counts and digests of records: restored data can only be compared with the archive itself',
    'the consistency of the stores, and a check of references between them',
  ];
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  const stores: StoreName[] = [];
  if (graph) {
    stores.push('graph');
    lacks.push(...graph.lacks, ...disagreements(old.statistics, graph.tallies));
  } else if (names.includes(SCRIPT_NAME)) {
    lacks.push(
      `the graph as data: ${SCRIPT_NAME} is a Cypher script, which is kept and not executed; it is read if the restore is requested with "cypher_script"`,
    );
  }
  if (has(/^vectors\//)) {
    stores.push('vectors');
    lacks.push(
      'aliases of collections, which are not part of Qdrant snapshots',
      'the number of its vectors, and their embedding model; their size is read from the snapshots, and compared with that of the target',
    );
  }
  if (has(/^kv\//)) {
    stores.push('kv');
    lacks.push(
      'the prefix of its keys; that of NGRAF-023 is used: nano_graphrag:<namespace>:',
      'expiry times of keys, and values of other types than strings',
    );
  }
  for (const name of names.filter((name) => name.startsWith('ngraf-023/kv/'))) {
    lacks.push(`the keys of ${quoteName(name)}, a list of values: it is kept and not restored`);
  }
  if (has(/^config\//)) stores.push('config');
  return {
    backup_id: backupId(old.backup_id, where),
    created_at: createdAt(old.created_at, lacks, where),
    nano_graphrag_version: typeof old.nano_graphrag_version === 'string' ? old.nano_graphrag_version : null,
    storage_backends: Object.fromEntries(
      stores.map((store) => [store, { kind: BACKENDS[store] ?? 'unknown' }]),
    ),
    statistics: numbersOf(old.statistics),
    scope: {
      type: 'partial',
      stores,
      profile: 'ngraf-023',
      scopes: {
        ...(graph?.scope === undefined ? {} : { graph: graph.scope }),
        ...(has(/^kv\//) ? { kv: { prefix: 'nano_graphrag:', separator: ':' } } : {}),
      },
    },
    tallies: graph ? { graph: graph.tallies } : {},
    tags: [],
    lacks,
    // The old manifest, unchanged. Its checksum never matches: it was computed before the archive was finished.
    ngraf_023: old,
  };
}

/** The backends that NGRAF-023 supported. */
const BACKENDS: ByStore<string> = {
  graph: 'neo4j',
  vectors: 'qdrant',
  kv: 'redis',
  config: 'config',
};

/** Counts in the old manifest that differ from the script's: one of the two is incomplete. */
function disagreements(statistics: unknown, tallies: Tallies): string[] {
  const expected = numbersOf(statistics);
  return [
    ['entities', 'nodes'],
    ['relationships', 'relationships'],
  ].flatMap(([name = '', tally = '']) => {
    const count = tallies[tally]?.count ?? 0;
    if (expected[name] === undefined || expected[name] === count) return [];
    return [`consistent counts: its manifest states ${expected[name]} ${name}, and its script has ${count}`];
  });
}

function backupId(value: unknown, where: string): string {
  const parsed = Id.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new InvalidInputError(`manifest.json of ${where} has no usable backup_id.`, {
    remedy: 'Set it to letters, digits, "_" and "-" only, and pack the archive again.',
  });
}

function createdAt(value: unknown, lacks: string[], where: string): string {
  const match =
    typeof value === 'string'
      ? /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})?$/.exec(value)
      : null;
  const time = match
    ? new Date(`${match[1]}T${match[2]}${(match[3] ?? '').slice(0, 4)}${match[4] ?? 'Z'}`)
    : undefined;
  if (!match || time === undefined || Number.isNaN(time.getTime())) {
    throw new InvalidInputError(`manifest.json of ${where} has no usable created_at.`, {
      remedy: 'Set it to a time such as "2025-10-06T14:30:00Z", and pack the archive again.',
    });
  }
  if (match[4] === undefined) lacks.push('the time zone of created_at; UTC is assumed');
  return time.toISOString();
}

function numbersOf(value: unknown): Record<string, number> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter(
      (pair): pair is [string, number] => typeof pair[1] === 'number' && pair[1] >= 0,
    ),
  );
}
