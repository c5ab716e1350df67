import { z } from 'zod';
import { filesOnly } from './files-only.ts';
import type { Profile } from './profile.ts';

const Parameters = z.strictObject({
  /** Whether the answers of language models are saved, with which a later indexing continues without asking again. */
  cache: z.boolean().default(true),
});

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
  configurationFiles: ['settings.yaml', 'settings.yml', '.env'],
  counts: {},
  references: [],
};
