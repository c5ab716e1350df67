import { z } from 'zod';
import { FilesLocation, placeOf } from '../../core/files-location.ts';
import { Directory } from './directory.ts';
import type { Folder } from './folder.ts';
import { S3Folder } from './s3-folder.ts';

/** Where the files are, as it lies in Secrets Manager. Access to S3 comes with the function's role. */
export const FilesConnection = z.strictObject({
  location: FilesLocation,
  /** Region of the bucket, where it is another one than the function's. */
  region: z.string().optional(),
});
export type FilesConnection = z.infer<typeof FilesConnection>;

/** Which files of the location belong to the knowledge base. */
export const FilesScope = z.strictObject({
  /** Folder below the location, such as a LightRAG workspace; '' for the location itself. */
  folder: z
    .string()
    .max(255)
    .regex(/^[^/\\]*$/, 'must be one folder name')
    .refine((name) => name !== '.' && name !== '..', 'must be the name of a folder below')
    .default(''),
  /** Names of files, with `*` for any characters. Folders inside are never part of it. */
  include: z.array(z.string().min(1).max(255)).min(1).max(64).default(['*']),
});
export type FilesScope = z.infer<typeof FilesScope>;

/** Opens the folder; nothing is reached before its first method is called. */
export function openFolder(
  { location, region }: FilesConnection,
  { folder }: FilesScope,
  target: string,
): Folder {
  const { bucket, path: root } = placeOf(location);
  const parts = [root, folder];
  const path = parts.filter((part) => part !== '').join('/');
  if (bucket === undefined) return new Directory(path, target);
  return new S3Folder(bucket, path === '' ? '' : `${path}/`, target, region);
}

/** The whole address of a folder. */
export function pathOf({ location }: FilesConnection, { folder }: FilesScope): string {
  return [location.replace(/\/+$/, ''), folder].filter((part) => part !== '').join('/');
}

/** Whether a file of this name is part of the scope. */
export function isIncluded(name: string, { include }: FilesScope): boolean {
  return include.some((pattern) => {
    const source = pattern.split('*').map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
    return new RegExp(`^${source.join('.*')}$`, 's').test(name);
  });
}
