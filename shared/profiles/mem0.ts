import { z } from 'zod';
import { exactly } from '../stores/marks.ts';
import type { Profile } from './profile.ts';

const Parameters = z.strictObject({
  /** Name of the collection of memories (`collection_name`); that of their entities is derived from it. */
  collection: z.string().min(1).max(200).default('mem0'),
  /** Name of the file of `history_db_path`, which is in the location of the files. */
  history: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[^/\\*?[\]{}!()]+$/, 'must be the name of a file')
    .default('history.db'),
});

/**
 * mem0 2 (https://github.com/mem0ai/mem0) on Qdrant: memories and their entities are points, and the history of memories is
 * a SQLite file.
 */
export const mem0: Profile<z.infer<typeof Parameters>> = {
  name: 'mem0',
  Parameters,
  scopes: ({ collection, history }, kvKind) => ({
    vectors: { collections: [collection, `${collection}_entities`] },
    ...(kvKind === 'files' ? { kv: { include: [history] } } : {}),
  }),
  versionMarks: ({ collection }) => [
    {
      store: 'vectors',
      find: { kind: 'tally', pattern: exactly(`points:${collection}_entities`) },
      since: '2.0.0',
      earlier: 'ignore the collection of entities, and keep relations in a graph store instead',
    },
  ],
  configurationFiles: ['.env'],
  counts: {},
  references: [],
};
