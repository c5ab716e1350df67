import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { ROOT } from '../folders.ts';
import type { InstallContext } from '../install/install.ts';
import { checkPython } from '../install/prerequisites.ts';
import { installMsGraphrag } from '../install/python.ts';
import { VERSIONS } from '../versions.ts';
import type { Blueprint } from './blueprint.ts';
import { runWriter } from './run-writer.ts';

/** Of the packages. */
const PYTHON_MIN = [3, 11] as const;

/**
 * Writes a project of Microsoft GraphRAG into a folder with its own classes: tables in parquet, vectors in LanceDB. Installs the
 * packages the first time. Throws LocalStackError, and MissingPrerequisiteError if Python is too old for them.
 */
export async function writeMsGraphrag(
  project: string,
  blueprint: Blueprint,
  options: { scale: number; folder: string; install: InstallContext },
): Promise<void> {
  const what = `Microsoft GraphRAG ${VERSIONS.msGraphrag}`;
  await checkPython(PYTHON_MIN, what, options.install.environment);
  const packages = await installMsGraphrag(options.install);
  await runWriter(
    join(ROOT, 'local/knowledge-base/write_ms_graphrag.py'),
    (records) => [records, project],
    blueprint,
    { ...options, what, environment: { PYTHONPATH: packages } },
  );
}

/** Copies all files of a folder to a prefix in S3, and returns their number. */
export async function uploadFolder(
  folder: string,
  place: { readonly bucket: string; readonly prefix: string },
  signal: AbortSignal,
): Promise<number> {
  const s3 = new S3Client({});
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  try {
    for (const path of files) {
      const Key = `${place.prefix}/${relative(folder, path)}`;
      const command = new PutObjectCommand({ Bucket: place.bucket, Key, Body: createReadStream(path) });
      await s3.send(command, { abortSignal: signal });
    }
  } finally {
    s3.destroy();
  }
  return files.length;
}
