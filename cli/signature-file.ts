import { open, rename, rm, writeFile } from 'node:fs/promises';
import { SIGNATURE_ENDING } from '../shared/archive/format/signature.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { SIGNATURE_BYTES_MAX } from '../shared/core/signature.ts';

/** The file with the signature of an archive, beside it. That of an encrypted file is of the archive in it. */
export const signaturePath = (archive: string) => `${archive.replace(/\.age$/i, '')}${SIGNATURE_ENDING}`;

/** Reads a signature: its bytes in DER. Undefined if there is no such file. Throws InvalidInputError. */
export async function readSignatureFile(path: string): Promise<Buffer | undefined> {
  const bytes = await readStart(path, SIGNATURE_BYTES_MAX + 1);
  if (bytes === undefined || (bytes.length > 0 && bytes.length <= SIGNATURE_BYTES_MAX)) return bytes;
  throw new InvalidInputError(`"${path}" is not the signature of an archive.`, {
    remedy: 'Replace it with the file that `ngbak download` saved, or remove it.',
  });
}

async function readStart(path: string, length: number): Promise<Buffer | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new InvalidInputError(`"${path}" can't be read.`, {
      remedy: 'Check its permissions, or remove it.',
      cause,
    });
  }
}

/** Saves the signature of a downloaded archive beside it. Without one, removes that of an earlier file. */
export async function saveSignature(archive: string, value: string | undefined): Promise<void> {
  const path = signaturePath(archive);
  if (value === undefined) {
    await rm(path, { force: true });
    return;
  }
  await writeFile(`${path}.part`, Buffer.from(value, 'base64'));
  await rename(`${path}.part`, path);
}
