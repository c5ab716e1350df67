import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { fileSource } from '../../shared/archive/read/sources.ts';
import { BufferPool } from '../../shared/core/buffer-pool.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { IntegrityError } from '../../shared/core/errors.ts';
import { mapOrdered } from '../../shared/core/ordered.ts';
import { RefusedError } from '../../shared/core/refusals.ts';
import { withFileKey } from '../age/encrypted-source.ts';
import { newHeader } from '../age/recipients.ts';
import { type AgeHeader, encrypt, NONCE_BYTES, sealedSize } from '../age/stream.ts';
import { requireSpace } from './disk-space.ts';
import type { Downloaded, DownloadOptions } from './download.ts';
import { CHUNK_BYTES, CONNECTIONS, fetchRange, Links, rangesOf } from './ranges.ts';

/**
 * Downloads an archive and encrypts it to recipients of age while it arrives: its plain bytes are never on the disk. The
 * encrypted file is then read back, decrypted in memory and compared with S3's CRC-32, before it gets its final name.
 * Only this process has the key for that, so an interrupted download cannot be resumed and leaves nothing behind. Throws
 * RefusedError if a file with that name exists, and IntegrityError if the bytes differ.
 */
export async function downloadEncrypted(
  options: DownloadOptions & {
    readonly recipients: readonly string[];
    /** Called once all bytes are on the disk, before they are read back. */
    readonly verifying?: () => void;
  },
): Promise<Downloaded> {
  const { path, signal } = options;
  const header = await newHeader(options.recipients);
  await requireFree(options);
  const links = await Links.open(options.link);
  const { bytes, crc32: wanted = '', backup_id } = links.current;
  await mkdir(dirname(path), { recursive: true });
  const size = header.bytes.length + NONCE_BYTES + sealedSize(bytes);
  await requireSpace(dirname(path), size, 'Free disk space, or choose another folder with --to.');
  // Another name than that of a download without encryption, which could be resumed.
  const part = `${path}.encrypting`;
  // Of a process that was killed: it might be readable by others, or a link.
  await rm(part, { force: true });
  try {
    const received = { crc: 0 };
    await write(part, encrypt(fetched(links, options, received), header), signal);
    requireCrc(received.crc, wanted, `The download of ${backup_id}`);
    options.verifying?.();
    requireCrc(await plainCrc32(part, header, options), wanted, `The file written for ${backup_id}`);
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  return { path, bytes: size, existed: false, resumed: 0 };
}

/** Files of other recipients, or of other random keys, differ: none can be recognized as the same download. */
async function requireFree({ path, force }: DownloadOptions): Promise<void> {
  const found = await stat(path).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!found || (force && found.isFile())) return;
  throw new RefusedError(`"${path}" already exists.`, {
    remedy: 'Choose another name with --output, or replace it with --force.',
  });
}

/** The bytes of the archive in order, while further ranges are fetched. Each buffer is valid until the next one. */
async function* fetched(
  links: Links,
  options: DownloadOptions,
  received: { crc: number },
): AsyncGenerator<Buffer> {
  const { bytes } = links.current;
  const pool = new BufferPool(CHUNK_BYTES);
  let done = 0;
  options.progress(done, bytes);
  const ranges = mapOrdered(rangesOf(bytes), CONNECTIONS, async (range) => {
    const buffer = pool.take().subarray(0, range.length);
    const put = (data: Uint8Array, position: number) => buffer.set(data, position - range.offset);
    await fetchRange(put, range, links, options, (read) => {
      done += read;
      options.progress(done, bytes);
    });
    return buffer;
  });
  for await (const buffer of ranges) {
    received.crc = crc32(buffer, received.crc);
    yield buffer;
    pool.give(buffer);
  }
}

/** Archives hold whole knowledge bases: even encrypted, readable by the user only. */
async function write(path: string, data: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await writeFile(file, data, { signal });
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The CRC-32 of an encrypted file's plain bytes. */
async function plainCrc32(path: string, header: AgeHeader, { signal }: DownloadOptions): Promise<number> {
  const file = await fileSource(path);
  try {
    const plain = await withFileKey(file, header.bytes.length, header.fileKey);
    let crc = 0;
    for await (const chunk of plain.read(0, plain.size)) {
      signal.throwIfAborted();
      crc = crc32(chunk, crc);
    }
    return crc;
  } finally {
    await file.close();
  }
}

function requireCrc(crc: number, wanted: string, what: string): void {
  const found = crc32Base64(crc);
  if (found === wanted) return;
  throw new IntegrityError(`${what} has CRC-32 ${found}, but S3 reports ${wanted}.`, {
    remedy: 'The file was removed. Download it again; if the error persists, run `ngbak verify`.',
  });
}
