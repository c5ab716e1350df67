import { z } from 'zod';
import { FilesLocation, placeOf } from '../../core/files-location.ts';
import { Directory } from './directory.ts';
import type { Folder } from './folder.ts';
import { S3Folder } from './s3-folder.ts';

/** Location of the files, as stored in Secrets Manager. Access to S3 is granted by the function's role. */
export const FilesConnection = z.strictObject({
  location: FilesLocation,
  /** Region of the bucket, if it differs from the function's. */
  region: z.string().optional(),
});
export type FilesConnection = z.infer<typeof FilesConnection>;

/** Which files in the location belong to the knowledge base. */
export const FilesScope = z.strictObject({
  /** Folder within the location, such as a LightRAG workspace; '' for the location itself. */
  folder: z
    .string()
    .max(255)
    .regex(/^[^/\\]*$/, 'must be one folder name')
    .refine((name) => name !== '.' && name !== '..', 'must be the name of a folder below')
    .default(''),
  /** File names, with `*` matching any characters. Subfolders are never included. */
  include: z.array(z.string().min(1).max(255)).min(1).max(64).default(['*']),
});
export type FilesScope = z.infer<typeof FilesScope>;

/** Opens the folder. Nothing is accessed before the first method call. */
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

/** The full address of a folder. */
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
