import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import type { Bucket } from '../../shared/aws/bucket.ts';
import { archiveKey } from '../../shared/aws/keys.ts';
import pc from '../../shared/core/colors.ts';
import { DemoFailedError } from './follow.ts';
import type { StepView } from './screen.ts';

const run = promisify(execFile);
/** Maximum output of tar or sha256sum, in bytes. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** Number of entries that are listed; the others are only counted. */
const LISTED = 24;

/** Streams an archive from the bucket into a file in this folder, and returns its path. */
export async function downloadArchive(
  bucket: Bucket,
  backupId: string,
  folder: string,
  signal: AbortSignal,
): Promise<string> {
  const path = join(folder, `${backupId}.ngbak`);
  const { Body } = await bucket.s3.send(
    new GetObjectCommand({ Bucket: bucket.name, Key: archiveKey(backupId) }),
    {
      abortSignal: signal,
    },
  );
  if (!(Body instanceof Readable))
    throw new DemoFailedError(`Archive ${backupId} has no content.`, { remedy: '' });
  await pipeline(Body, createWriteStream(path), { signal });
  return path;
}

/** Opens an archive with only tar and sha256sum, as any user could, and shows its contents. */
export async function showArchive(
  path: string,
  folder: string,
  view: StepView,
  signal: AbortSignal,
): Promise<void> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const options = { signal, maxBuffer: OUTPUT_BYTES_MAX };
  view.line(pc.cyan(`$ tar -tzf ${name}`));
  const { stdout } = await run('tar', ['-tzf', path], options);
  const entries = stdout.trim().split('\n');
  for (const entry of entries.slice(0, LISTED)) view.line(`  ${entry}`);
  if (entries.length > LISTED) view.line(pc.dim(`  … and ${entries.length - LISTED} more`));

  view.line(pc.cyan(`$ tar -xzf ${name} && sha256sum -c SHA256SUMS`));
  const unpacked = join(folder, 'unpacked');
  await mkdir(unpacked, { recursive: true });
  await run('tar', ['-xzf', path, '-C', unpacked], options);
  // It exits with an error, so that this throws, if a single file does not match its checksum.
  const checked = await run('sha256sum', ['-c', 'SHA256SUMS'], { ...options, cwd: unpacked });
  const good = checked.stdout
    .trim()
    .split('\n')
    .filter((line) => line.endsWith(': OK')).length;
  view.line(`  ${good} files, every one of them OK`);
}
