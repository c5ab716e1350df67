import { z } from 'zod';
import { isPlainPath } from './names.ts';

/** A pattern for paths within the folder; see `docs/stores/files.md`. */
const Pattern = z
  .string()
  .min(1)
  .max(512)
  .refine(
    (pattern) => isPlainPath(pattern),
    'must be a path within the folder, without a leading or trailing "/" and without "." or ".." parts',
  );

/** Which files in the location belong to the knowledge base. */
export const FilesScope = z.strictObject({
  /** Folder within the location, such as a LightRAG workspace; '' for the location itself. */
  folder: z
    .string()
    .max(255)
    .regex(/^[^/\\]*$/, 'must be one folder name')
    .refine((name) => name !== '.' && name !== '..', 'must be the name of a folder below')
    .default(''),
  /** The files: `*` are all files directly in the folder, `**` those in all subfolders as well. */
  include: z.array(Pattern).min(1).max(64).default(['*']),
  /** Those among them that are left out. By default files that contain credentials, which `config/` holds masked. */
  exclude: z.array(Pattern).max(64).default(['**/.env']),
});
export type FilesScope = z.infer<typeof FilesScope>;
