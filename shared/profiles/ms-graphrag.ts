import { z } from 'zod';
import { filesOnly } from './files-only.ts';
import type { Profile, VersionMark } from './profile.ts';

const Parameters = z.strictObject({
  /** Whether the answers of language models are saved, with which a later indexing continues without asking again. */
  cache: z.boolean().default(true),
});

/** Read from the packages of graphrag 0.5.0 to 3.3.0: names of tables and of vector datasets. */
const VERSION_MARKS: readonly VersionMark[] = [
  {
    store: 'kv',
    find: { kind: 'file', pattern: /^output\/create_final_[a-z_]+\.parquet$/ },
    before: '2.0.0',
    later:
      'read tables without "create_final_" in their names, with other columns: run the migration notebook of that release, or index again',
  },
  {
    store: 'kv',
    find: {
      kind: 'file',
      pattern:
        /^output\/(?:documents|text_units|entities|relationships|communities|community_reports)\.parquet$/,
    },
    since: '2.0.0',
    earlier: 'look for tables named "create_final_<name>.parquet", and do not find these',
  },
  {
    store: 'kv',
    find: { kind: 'file', pattern: /^output\/lancedb\/default-[a-z_-]+\.lance\// },
    before: '3.0.0',
    later:
      'look for vector datasets without "default-" in their names: run the migration notebook of that release, or index again',
  },
  {
    store: 'kv',
    find: {
      kind: 'file',
      pattern: /^output\/lancedb\/(?:entity_description|community_full_content|text_unit_text)\.lance\//,
    },
    since: '3.0.0',
    earlier: 'look for vector datasets named "default-<name>", and do not find these',
  },
];

/**
 * Microsoft GraphRAG 3 (https://github.com/microsoft/graphrag): a project folder with settings and prompts, tables in
 * parquet files, vectors in Lance datasets, and the answers of language models. The tables are opaque, so there are no
 * statistics and references.
 */
export const msGraphrag: Profile<z.infer<typeof Parameters>> = {
  name: 'ms-graphrag',
  Parameters,
  scopes: ({ cache }, kvKind) =>
    filesOnly('ms-graphrag', kvKind, {
      include: ['**'],
      // Logs can contain credentials, and are written while an indexing runs.
      exclude: ['**/.env', 'logs/**', ...(cache ? [] : ['cache/**'])],
    }),
  versionMarks: () => VERSION_MARKS,
  configurationFiles: ['settings.yaml', 'settings.yml', '.env'],
  counts: {},
  references: [],
};
