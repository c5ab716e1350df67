import { embed, embedSparsely, type SparseVector } from './embedding.ts';
import type { InstalledPackage } from './packages.ts';

/** Tokens in a chunk, and the number of tokens that it shares with the previous chunk: nano-graphrag's defaults. */
const CHUNK_TOKENS = 1200;
const CHUNK_OVERLAP = 100;
/** Maximum length of an entity's description in characters, as for descriptions from an LLM. */
const DESCRIPTION_CHARACTERS_MAX = 600;
/**
 * An entity that is mentioned everywhere (a licence) keeps this many chunks; GraphRAG systems limit their source ids
 * as well.
 */
const SOURCES_MAX = 60;

export type EntityType = 'PACKAGE' | 'PERSON' | 'LICENSE' | 'KEYWORD';
export type RelationType = 'DEPENDS_ON' | 'CREATED' | 'MAINTAINS' | 'LICENSED_AS' | 'ABOUT' | 'MENTIONS';

export interface Chunk {
  /** Index of the document in the blueprint, and the chunk's position in it. */
  readonly document: number;
  readonly order: number;
  readonly tokens: number;
  readonly content: string;
  readonly dense: Float32Array;
  readonly sparse: SparseVector;
}

export interface Entity {
  /** Upper-case name without quotes, unique. */
  readonly name: string;
  readonly type: EntityType;
  readonly description: string;
  /** Indices of the chunks that mention it, ascending. */
  readonly sources: readonly number[];
  /** Indices of its communities, the outer one first. */
  readonly communities: readonly number[];
  readonly dense: Float32Array;
  readonly sparse: SparseVector;
  /** Of the name alone, for the fork's hybrid search. */
  readonly sparseName: SparseVector;
}

export interface Relationship {
  /** Indices of the entities at its ends. */
  readonly from: number;
  readonly to: number;
  readonly type: RelationType;
  readonly description: string;
  readonly weight: number;
  readonly sources: readonly number[];
}

export interface Community {
  readonly title: string;
  readonly level: number;
  /** Indices of the outer community; absent at level 0. */
  readonly parent?: number;
  readonly entities: readonly number[];
  readonly relationships: readonly number[];
  readonly sources: readonly number[];
}

/**
 * One knowledge base with indices in place of ids: small, held in memory, and turned into any number of copies by
 * `copies.ts`. The same packages give the same blueprint, byte for byte.
 */
export interface Blueprint {
  readonly documents: readonly { readonly content: string }[];
  readonly chunks: readonly Chunk[];
  readonly entities: readonly Entity[];
  readonly relationships: readonly Relationship[];
  readonly communities: readonly Community[];
}

/** An entity while packages are still being read. */
interface DraftEntity {
  readonly name: string;
  type: EntityType;
  readonly descriptions: Set<string>;
  readonly sources: Set<number>;
  /** The first package that mentioned it, which determines the community of entities that are not packages. */
  readonly home: string;
}

interface DraftRelationship {
  readonly from: string;
  readonly to: string;
  readonly type: RelationType;
  readonly descriptions: Set<string>;
  weight: number;
  readonly sources: Set<number>;
}

/** Builds the blueprint of a knowledge base from packages, in any fixed order. */
export async function drawBlueprint(packages: AsyncIterable<InstalledPackage>): Promise<Blueprint> {
  const draft = new Draft();
  const all: InstalledPackage[] = [];
  for await (const one of packages) all.push(one);
  const known = new Set(all.map((one) => one.name));
  for (const one of all) draft.add(one, known);
  return draft.finish();
}

class Draft {
  readonly #documents: { content: string }[] = [];
  readonly #chunks: Chunk[] = [];
  readonly #entities = new Map<string, DraftEntity>();
  readonly #relationships = new Map<string, DraftRelationship>();

  add(one: InstalledPackage, known: ReadonlySet<string>): void {
    const document = this.#documents.length;
    const content = `# ${one.name} ${one.version}\n\n${one.description}\n\n${one.readme}`.trim();
    this.#documents.push({ content });
    const first = this.#chunks.length;
    for (const [order, chunk] of cutIntoChunks(content).entries()) {
      const { dense, sparse } = vectors(chunk.content);
      this.#chunks.push({ document, order, ...chunk, dense, sparse });
    }

    const self = this.#entity(
      one.name,
      'PACKAGE',
      one.name,
      one.description || `The npm package ${one.name}.`,
    );
    for (let index = first; index < this.#chunks.length; index++) self.sources.add(index);
    for (const name of one.dependencies) {
      const text = known.has(name) ? '' : `The npm package ${name}, which others depend on.`;
      this.#entity(name, 'PACKAGE', one.name, text).sources.add(first);
      this.#relate(one.name, name, 'DEPENDS_ON', `${one.name} depends on ${name}.`, 1, first);
    }
    for (const person of one.authors) {
      this.#entity(person, 'PERSON', one.name, `${person} is an author of npm packages.`).sources.add(first);
      this.#relate(person, one.name, 'CREATED', `${person} wrote ${one.name}.`, 2, first);
    }
    for (const person of one.maintainers) {
      this.#entity(person, 'PERSON', one.name, `${person} maintains npm packages.`).sources.add(first);
      this.#relate(person, one.name, 'MAINTAINS', `${person} takes care of ${one.name}.`, 1, first);
    }
    if (one.licence) {
      this.#entity(one.licence, 'LICENSE', one.name, `${one.licence} is a software licence.`).sources.add(
        first,
      );
      this.#relate(
        one.name,
        one.licence,
        'LICENSED_AS',
        `${one.name} is licensed as ${one.licence}.`,
        1,
        first,
      );
    }
    for (const word of one.keywords) {
      this.#entity(word, 'KEYWORD', one.name, `"${word}" is what some npm packages are about.`).sources.add(
        first,
      );
      this.#relate(one.name, word, 'ABOUT', `${one.name} is about ${word}.`, 1, first);
    }
    for (let index = first; index < this.#chunks.length; index++) {
      for (const name of mentions(this.#chunks[index]?.content ?? '', known)) {
        if (name === one.name) continue;
        this.#entity(name, 'PACKAGE', name, '').sources.add(index);
        this.#relate(one.name, name, 'MENTIONS', `The README of ${one.name} mentions ${name}.`, 0.5, index);
      }
    }
  }

  /** As in GraphRAG's extraction, things with the same name are one entity; packages take precedence. */
  #entity(name: string, type: EntityType, home: string, description: string): DraftEntity {
    const key = name.toUpperCase();
    let entity = this.#entities.get(key);
    if (!entity) {
      entity = { name: key, type, descriptions: new Set(), sources: new Set(), home };
      this.#entities.set(key, entity);
    }
    if (type === 'PACKAGE') entity.type = type;
    if (description) entity.descriptions.add(description);
    return entity;
  }

  #relate(from: string, to: string, type: RelationType, text: string, weight: number, chunk: number): void {
    const ends = [from.toUpperCase(), to.toUpperCase()] as const;
    if (ends[0] === ends[1]) return;
    const key = JSON.stringify(ends);
    let relationship = this.#relationships.get(key);
    if (!relationship) {
      relationship = {
        from: ends[0],
        to: ends[1],
        type,
        descriptions: new Set(),
        weight: 0,
        sources: new Set(),
      };
      this.#relationships.set(key, relationship);
    }
    relationship.descriptions.add(text);
    relationship.weight += weight;
    relationship.sources.add(chunk);
  }

  finish(): Blueprint {
    const drafts = [...this.#entities.values()];
    const indexOf = new Map(drafts.map((entity, index) => [entity.name, index]));
    const relationships = [...this.#relationships.values()].map(
      (draft): Relationship => ({
        from: required(indexOf, draft.from),
        to: required(indexOf, draft.to),
        type: draft.type,
        description: joinTexts(draft.descriptions),
        weight: draft.weight,
        sources: firstSources(draft.sources),
      }),
    );
    const { communities, membership } = groupIntoCommunities(drafts, relationships);
    const entities = drafts.map((draft, index): Entity => {
      const description = joinTexts(draft.descriptions);
      return {
        name: draft.name,
        type: draft.type,
        description,
        sources: firstSources(draft.sources),
        communities: membership[index] ?? [],
        ...vectors(`${draft.name} ${description}`),
        sparseName: embedSparsely(draft.name),
      };
    });
    return { documents: this.#documents, chunks: this.#chunks, entities, relationships, communities };
  }
}

function vectors(text: string): { dense: Float32Array; sparse: SparseVector } {
  return { dense: embed(text), sparse: embedSparsely(text) };
}

/**
 * Windows of 1200 tokens that overlap by 100, cut at token boundaries. A token is up to six letters, or one other
 * character.
 */
function cutIntoChunks(content: string): { content: string; tokens: number }[] {
  const starts: number[] = [];
  for (const match of content.matchAll(/[\p{L}\p{N}]{1,6}|[^\p{L}\p{N}\s]/gu)) starts.push(match.index);
  const chunks: { content: string; tokens: number }[] = [];
  for (
    let from = 0;
    from === 0 || from + CHUNK_OVERLAP < starts.length;
    from += CHUNK_TOKENS - CHUNK_OVERLAP
  ) {
    const tokens = Math.min(CHUNK_TOKENS, starts.length - from);
    chunks.push({ content: content.slice(starts[from], starts[from + CHUNK_TOKENS]).trim(), tokens });
  }
  return chunks;
}

/** Names of installed packages in code quotes in a text, in order. */
function mentions(text: string, known: ReadonlySet<string>): Set<string> {
  const names = new Set<string>();
  for (const [, name] of text.matchAll(/`([a-z0-9@][a-z0-9@/._-]{1,60})`/g)) {
    if (name !== undefined && known.has(name)) names.add(name);
  }
  return names;
}

/** GraphRAG's separator between merged descriptions. */
function joinTexts(texts: Iterable<string>): string {
  return [...texts].join('<SEP>').slice(0, DESCRIPTION_CHARACTERS_MAX).toWellFormed();
}

function firstSources(sources: Iterable<number>): number[] {
  return [...sources].sort((a, b) => a - b).slice(0, SOURCES_MAX);
}

function required(indexOf: ReadonlyMap<string, number>, name: string): number {
  const index = indexOf.get(name);
  if (index === undefined) throw new Error(`The blueprint relates "${name}" without having it as an entity.`);
  return index;
}

/**
 * Two levels of communities: the scope of a package (`@aws-sdk`) or the first letter of its name, and within it the
 * first word of the name, if several share it. Other entities belong to the community of the package that first
 * mentioned them.
 */
function groupIntoCommunities(
  entities: readonly DraftEntity[],
  relationships: readonly Relationship[],
): { communities: Community[]; membership: number[][] } {
  const groups = new Map<string, { title: string; level: number; parent?: string; entities: number[] }>();
  for (const [index, entity] of entities.entries()) {
    const name = entity.type === 'PACKAGE' ? entity.name.toLowerCase() : entity.home.toLowerCase();
    const [scope, rest] =
      name.startsWith('@') && name.includes('/') ? splitAt(name, '/') : [name.slice(0, 1), name];
    const word = splitAt(rest, '-')[0];
    assign(scope, { title: `Packages of ${scope}`, level: 0 }, index);
    assign(`${scope}/${word}`, { title: `${word} in ${scope}`, level: 1, parent: scope }, index);
  }
  function assign(
    key: string,
    group: { title: string; level: number; parent?: string },
    index: number,
  ): void {
    const found = groups.get(key);
    if (found) found.entities.push(index);
    else groups.set(key, { ...group, entities: [index] });
  }

  const kept = [...groups].filter(([, group]) => group.level === 0 || group.entities.length >= 12);
  const number = new Map(kept.map(([key], index) => [key, index]));
  const membership = entities.map((): number[] => []);
  const communities = kept.map(([key, group]): Community => {
    for (const entity of group.entities) membership[entity]?.push(required(number, key));
    const inside = new Set(group.entities);
    const own = relationships.flatMap(({ from, to }, index) =>
      inside.has(from) && inside.has(to) ? [index] : [],
    );
    const sources = new Set(group.entities.flatMap((entity) => [...(entities[entity]?.sources ?? [])]));
    const parent = group.parent === undefined ? undefined : number.get(group.parent);
    return {
      title: group.title,
      level: group.level,
      ...(parent === undefined ? {} : { parent }),
      entities: group.entities,
      relationships: own,
      sources: firstSources(sources),
    };
  });
  // Outer communities come first in the map for every entity, because a scope is inserted before its words.
  return { communities, membership };
}

function splitAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}
