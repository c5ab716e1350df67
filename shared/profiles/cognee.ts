import { z } from 'zod';
import { exactly } from '../stores/marks.ts';
import { filesOnly } from './files-only.ts';
import type { Profile } from './profile.ts';

/** A folder directly in the location. */
const FolderName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^/\\*?[\]]+$/, 'must be one folder name')
  .refine((name) => name !== '.' && name !== '..', 'must be the name of a folder below');

const Parameters = z.strictObject({
  /** The folder of its databases: the last part of `SYSTEM_ROOT_DIRECTORY`. */
  system_folder: FolderName.default('.cognee_system'),
  /** The folder of its documents: the last part of `DATA_ROOT_DIRECTORY`. */
  data_folder: FolderName.default('.data_storage'),
});

/**
 * cognee with its default databases (https://github.com/topoteretes/cognee): SQLite for metadata, Lance datasets for
 * vectors, Kuzu or Ladybug for the graph, and documents, all in files below two folders.
 */
export const cognee: Profile<z.infer<typeof Parameters>> = {
  name: 'cognee',
  Parameters,
  scopes: ({ system_folder: system, data_folder: data }, kvKind) =>
    filesOnly('cognee', kvKind, { include: [`${system}/**`, `${data}/**`], exclude: ['**/.env'] }),
  versionMarks: ({ system_folder: system }) => {
    const pattern = exactly(`${system}/databases/cognee_db`);
    return [
      {
        store: 'kv',
        find: { kind: 'value', pattern, table: 'global_database_version', column: 'cognee_version' },
        since: '1.2.0',
        value: 'version',
        earlier: 'have other IDs of nodes and points: they do not find what later ones wrote',
      },
      {
        store: 'kv',
        find: { kind: 'value', pattern, table: 'alembic_version', column: 'version_num' },
        value: 'revision',
      },
    ];
  },
  configurationFiles: ['.env'],
  counts: {},
  references: [],
};
