import { z } from 'zod';
import { InvalidInputError } from '../core/errors.ts';
import type { Profile, Reference } from './profile.ts';

/** Separator of the chunk IDs in the `source_id` of nano-graphrag and LightRAG. */
export const SEPARATOR = '<SEP>';

/** Key namespaces by the statistic that they provide, in nano-graphrag and its forks. */
export const NANO_COUNTS = {
  documents: 'full_docs',
  chunks: 'text_chunks',
  communities: 'community_reports',
  cache_entries: 'llm_response_cache',
} as const;

/** Fields that refer to chunks and documents, common to nano-graphrag, its forks and LightRAG. */
export const CHUNK_REFERENCES: readonly Reference[] = [
  {
    from: { store: 'graph', thing: 'nodes', field: 'source_id' },
    separator: SEPARATOR,
    to: { store: 'kv', thing: 'text_chunks', field: 'id' },
  },
  {
    from: { store: 'graph', thing: 'relationships', field: 'source_id' },
    separator: SEPARATOR,
    to: { store: 'kv', thing: 'text_chunks', field: 'id' },
  },
  {
    from: { store: 'kv', thing: 'text_chunks', field: 'full_doc_id' },
    to: { store: 'kv', thing: 'full_docs', field: 'id' },
  },
];

/** References between the stores of nano-graphrag and its forks. */
export const NANO_REFERENCES: readonly Reference[] = [
  {
    from: { store: 'vectors', thing: 'entities', field: 'entity_name' },
    to: { store: 'graph', thing: 'nodes', field: 'id' },
  },
  ...CHUNK_REFERENCES,
  {
    from: { store: 'kv', thing: 'community_reports', field: 'nodes' },
    to: { store: 'graph', thing: 'nodes', field: 'id' },
  },
  {
    from: { store: 'kv', thing: 'community_reports', field: 'chunk_ids' },
    to: { store: 'kv', thing: 'text_chunks', field: 'id' },
  },
];

const Parameters = z.strictObject({
  /** Working directory, as the application names it. The graph's label is derived from it. */
  working_dir: z.string().min(1).optional(),
  /** Collections of vectors, if they are in Qdrant. */
  collections: z.array(z.string().min(1)).min(1).default(['entities']),
});

/** nano-graphrag 0.0.8 (https://github.com/gusye1234/nano-graphrag): JSON files, Neo4j or GraphML, vectors in files. */
export const nanoGraphrag: Profile<z.infer<typeof Parameters>> = {
  name: 'nano-graphrag',
  Parameters,
  scopes({ working_dir, collections }, kvKind) {
    if (kvKind !== 'files') {
      throw new InvalidInputError(
        `Profile nano-graphrag keeps key-value data in files, not in "${kvKind}".`,
        {
          remedy: 'Use profile "ngraf-023" for the fork with Redis, or "custom" with a scope of your own.',
        },
      );
    }
    return {
      graph: { ...(working_dir === undefined ? {} : { label: graphLabel(working_dir) }), key_property: 'id' },
      vectors: { collections },
      kv: {},
    };
  },
  versionMarks: ({ working_dir }) => {
    const labels = working_dir === undefined ? [] : formerLabels(working_dir);
    return labels.map((label) => ({
      store: 'graph',
      find: { kind: 'label', label },
      leftOut: `The database has nodes with the label "${label}": releases of nano-graphrag up to 0.0.8.2 make it of this working directory, and the code after them makes "${graphLabel(working_dir ?? '')}", which the target saves. The nodes under the older label are not saved: if the system still uses it, set "scope": {"label": "${label}"} under "stores.graph".`,
    }));
  },
  configurationFiles: ['settings.yaml', 'settings.yml', '.env'],
  counts: NANO_COUNTS,
  references: NANO_REFERENCES,
};

/**
 * The label of every node, as nano-graphrag's Neo4j storage derives it from the working directory. Releases up to 0.0.8.2
 * do not replace a colon: see {@link formerLabels}.
 */
function graphLabel(workingDir: string): string {
  const path = workingDir
    .replaceAll('.', '_')
    .replaceAll('/', '__')
    .replaceAll('-', '_')
    .replaceAll(':', '_');
  return `${path}__chunk_entity_relation`;
}

/**
 * The label of releases up to 0.0.8.2, which keep a colon: in their Cypher, it separates two labels, of which the last
 * identifies the directory.
 */
function formerLabels(workingDir: string): string[] {
  if (!workingDir.includes(':')) return [];
  const last = workingDir.split(':').at(-1) ?? '';
  return [graphLabel(last)];
}
