import type { ServedRole } from '../core/store-names.ts';

/** Names found in the stores, by role, from `Store.names`. Stores that were not examined are absent. */
export type FoundNames = Partial<Record<ServedRole, readonly string[]>>;

/** A proposed profile for a target, with reasons. */
export interface Proposal {
  readonly profile: string;
  /** Parameters of the profile, as far as they can be derived from the names. */
  readonly parameters: Readonly<Record<string, string | readonly string[]>>;
  /** Parameters with several possible values (lists as JSON), because several knowledge bases share the servers. */
  readonly choices: Readonly<Record<string, readonly string[]>>;
  /** Descriptions of what was found, in store order. */
  readonly reasons: readonly string[];
}

/** A naming pattern of one system. */
interface NamePattern {
  readonly store: keyof FoundNames;
  readonly pattern: RegExp;
  readonly words: string;
  /** The parameter whose value is the pattern's first group, if any. */
  readonly parameter?: string;
  /** True if the parameter is a list, and the group its only value in JSON. */
  readonly isList?: boolean;
  /** True if the group is the parameter in JSON. */
  readonly isJson?: boolean;
  /** The value that the system uses in this store if the parameter is not set. */
  readonly unset?: string;
  /** True for names that mean something only together: of a system's patterns with this mark, one has to match. */
  readonly isRequired?: boolean;
}

/**
 * Naming patterns by system, the most reliable sources of parameters first; `docs/profiles.md` describes the layouts.
 */
const NAME_PATTERNS: Readonly<Record<string, readonly NamePattern[]>> = {
  'ngraf-023': [
    { store: 'graph', pattern: /^\(:GraphRAG_(.+)\)$/s, words: 'label', parameter: 'namespace' },
    {
      store: 'kv',
      pattern: /^([^:]+):(?:full_docs|text_chunks|community_reports|llm_response_cache):/,
      words: 'keys like',
      parameter: 'root',
    },
  ],
  lightrag: [
    { store: 'graph', pattern: /^\[:DIRECTED\]$/, words: 'relationships' },
    {
      store: 'vectors',
      pattern: /^lightrag_vdb_(?:entities|relationships|chunks)(?:_(.+))?$/s,
      words: 'collection',
      parameter: 'model_suffix',
    },
    {
      store: 'kv',
      pattern: /^(?:(.+)_)?(?:doc_status|full_entities|full_relations|entity_chunks|relation_chunks):/s,
      words: 'keys like',
      parameter: 'workspace',
    },
    {
      store: 'kv',
      pattern: /^[^.]+\.lightrag_(?:doc_status|full_entities|full_relations)$/,
      words: 'table',
    },
    {
      store: 'kv',
      pattern: /^[^.]+\.lightrag_\w+ \{workspace: (".*")\}$/s,
      words: 'rows of',
      parameter: 'workspace',
      isJson: true,
      unset: 'default',
    },
    {
      store: 'kv',
      pattern: /^(?:([^/]+)\/)?kv_store_(?:doc_status|full_entities|full_relations)\.json$/s,
      words: 'file',
      parameter: 'workspace',
    },
  ],
  'nano-graphrag': [
    {
      store: 'graph',
      pattern: /^\(:(.+)__chunk_entity_relation\)$/s,
      words: 'label',
      parameter: 'working_dir',
    },
    { store: 'kv', pattern: /^kv_store_community_reports\.json$/, words: 'file' },
  ],
  'ms-graphrag': [
    {
      store: 'kv',
      pattern:
        /^output\/(?:documents|text_units|entities|relationships|communities|community_reports)\.parquet$/,
      words: 'file',
      isRequired: true,
    },
    { store: 'kv', pattern: /^output\/lancedb\/$/, words: 'folder' },
    { store: 'kv', pattern: /^(?:settings\.ya?ml|prompts\/)$/, words: 'project' },
  ],
  cognee: [
    { store: 'kv', pattern: /^\.cognee_system\/$/, words: 'folder' },
    { store: 'kv', pattern: /^\.data_storage\/$/, words: 'folder' },
  ],
  graphiti: [
    { store: 'graph', pattern: /^\(:(?:Episodic|Saga)\)$/, words: 'label', isRequired: true },
    {
      store: 'graph',
      pattern: /^\[:(?:RELATES_TO|MENTIONS|HAS_EPISODE|NEXT_EPISODE)\]$/,
      words: 'relationships',
    },
    {
      store: 'graph',
      pattern: /^\{group_id: (".*")\}$/s,
      words: 'property',
      parameter: 'group_ids',
      isList: true,
    },
  ],
  mem0: [
    { store: 'vectors', pattern: /^mem0(?:_entities)?$/, words: 'collection', isRequired: true },
    { store: 'kv', pattern: /^history\.db$/, words: 'file' },
  ],
  langchain: [
    { store: 'graph', pattern: /^\(:__Entity__\)$/, words: 'label', isRequired: true },
    { store: 'graph', pattern: /^\[:MENTIONS\]$/, words: 'relationships' },
  ],
  llamaindex: [
    { store: 'graph', pattern: /^\(:__Node__\)$/, words: 'label', isRequired: true },
    { store: 'graph', pattern: /^\(:__Entity__\)$/, words: 'label' },
    { store: 'graph', pattern: /^\[:MENTIONS\]$/, words: 'relationships' },
  ],
  'neo4j-graphrag': [
    { store: 'graph', pattern: /^\(:__Entity__\)$/, words: 'label', isRequired: true },
    { store: 'graph', pattern: /^\(:__KGBuilder__\)$/, words: 'label', isRequired: true },
    // Those of LLM Graph Builder, which has no label for all of its nodes.
    {
      store: 'graph',
      pattern: /^\[:(?:HAS_ENTITY|FIRST_CHUNK|IN_COMMUNITY)\]$/,
      words: 'relationships',
      isRequired: true,
    },
    { store: 'graph', pattern: /^\[:(?:FROM_CHUNK|FROM_DOCUMENT|NEXT_CHUNK)\]$/, words: 'relationships' },
  ],
};

/**
 * Proposes the profile that matches the most names, or `custom` if none matches. If a parameter has several values,
 * several knowledge bases share the servers: the parameter is left to the operator, and the reasons list the values.
 * This is only a proposal; the configuration decides.
 */
export function proposeProfile(found: FoundNames): Proposal {
  const proposals = Object.entries(NAME_PATTERNS).map(([profile, clues]) => examine(profile, clues, found));
  const [best] = proposals.toSorted((one, other) => other.reasons.length - one.reasons.length);
  if (best && best.reasons.length > 0) return best;
  return { profile: 'custom', parameters: {}, choices: {}, reasons: ['no names of a known system'] };
}

/** Maximum number of examples in one reason. */
const EXAMPLES_MAX = 3;

function examine(profile: string, patterns: readonly NamePattern[], found: FoundNames): Proposal {
  const parameters: Record<string, string | readonly string[]> = {};
  const choices: Record<string, readonly string[]> = {};
  const reasons: string[] = [];
  const matchesOf = ({ store, pattern }: NamePattern) =>
    (found[store] ?? []).map((name) => pattern.exec(name)).filter((match) => match !== null);
  const required = patterns.filter(({ isRequired }) => isRequired);
  if (required.length > 0 && required.every((pattern) => matchesOf(pattern).length === 0)) {
    return { profile, parameters, choices, reasons };
  }
  for (const clue of patterns) {
    const { words, parameter, isList, isJson, unset } = clue;
    const matches = matchesOf(clue);
    const textOf = (group: string) => {
      const value = isJson && group !== '' ? String(JSON.parse(group)) : group;
      return value === unset ? '' : value;
    };
    const examples = new Map(matches.map((match) => [textOf(match[1] ?? ''), match[0]]));
    if (examples.size === 0) continue;
    const [value] = examples.keys();
    if (parameter !== undefined && examples.size === 1 && value) {
      parameters[parameter] = isList ? [String(JSON.parse(value))] : value;
    }
    const names = [...examples.values()].slice(0, EXAMPLES_MAX).join(', ');
    if (parameter !== undefined && examples.size > 1) {
      choices[parameter] = [...examples.keys()].sort().map((value) => (isList ? `[${value}]` : value));
    }
    const several = parameter !== undefined && examples.size > 1 ? `: choose a ${parameter}` : '';
    reasons.push(`${words} ${names}${several}`);
  }
  return { profile, parameters, choices, reasons };
}
