import { z } from 'zod';
import { FilesLocation, placeOf } from '../../core/files-location.ts';
import { Directory } from './directory.ts';
import type { Folder } from './folder.ts';
import { S3Folder } from './s3-folder.ts';
import type { FilesScope } from './scope.ts';
import { selectionOf } from './selection.ts';

/** Location of the files, as stored in Secrets Manager. Access to S3 is granted by the function's role. */
export const FilesConnection = z.strictObject({
  location: FilesLocation,
  /** Region of the bucket, if it differs from the function's. */
  region: z.string().optional(),
});
export type FilesConnection = z.infer<typeof FilesConnection>;

/** Opens the folder. Nothing is accessed before the first method call. */
export function openFolder(
  { location, region }: FilesConnection,
  { folder }: Pick<FilesScope, 'folder'>,
  target: string,
): Folder {
  const { bucket, path: root } = placeOf(location);
  const parts = [root, folder];
  const path = parts.filter((part) => part !== '').join('/');
  if (bucket === undefined) return new Directory(path, target);
  return new S3Folder(bucket, path === '' ? '' : `${path}/`, target, region);
}

/** The full address of a folder. */
function pathOf({ location }: FilesConnection, { folder }: FilesScope): string {
  return [location.replace(/\/+$/, ''), folder].filter((part) => part !== '').join('/');
}

/** Whether a file could belong to both places. */
export function overlap(
  one: { connection: FilesConnection; scope: FilesScope },
  other: { connection: FilesConnection; scope: FilesScope },
): boolean {
  const [left, right] = [pathOf(one.connection, one.scope), pathOf(other.connection, other.scope)];
  const isBelow = (scope: FilesScope, path: string, inner: string) =>
    inner.startsWith(`${path}/`) && selectionOf(scope).enters(inner.slice(path.length + 1));
  return left === right || isBelow(one.scope, left, right) || isBelow(other.scope, right, left);
}
