/** Why a file cannot be uploaded, and what to do instead. */
export interface FileProblem {
  readonly problem: string;
  readonly remedy: string;
}

/** Minimum size of an archive, in bytes: its footer alone has 72 or 90 (docs/format.md), its manifest more. */
const ARCHIVE_BYTES_MIN = 100;
/** The magic bytes of the two codecs of archives: RFC 1952 section 2.3.1, RFC 8878 section 3.1.1. */
const MAGICS = [
  [0x1f, 0x8b],
  [0x28, 0xb5, 0x2f, 0xfd],
] as const;
/** Other formats that users may mistake for archives, by their magic bytes, to name the type of a wrong file. */
const KNOWN: readonly (readonly [string, readonly number[]])[] = [
  ['a ZIP file', [0x50, 0x4b]],
  ['a PDF document', [0x25, 0x50, 0x44, 0x46]],
  ['an XZ file', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['a bzip2 file', [0x42, 0x5a, 0x68]],
  ['JSON text', [0x7b]],
  ['an HTML or XML page', [0x3c]],
];

/**
 * Checks name and size, without reading the file. Undefined if nothing prevents the upload.
 *
 * @param maxBytes   largest archive that the deployment accepts, in bytes, if known
 */
export function checkNameAndSize(
  file: { readonly name: string; readonly size: number },
  maxBytes?: number,
): FileProblem | undefined {
  if (!file.name.toLowerCase().endsWith('.ngbak')) {
    return {
      problem: `“${file.name}” does not end in .ngbak.`,
      remedy: 'Choose an archive created by ngbak. If it was renamed, restore its file extension.',
    };
  }
  if (file.size < ARCHIVE_BYTES_MIN) {
    return {
      problem:
        file.size === 0
          ? `“${file.name}” is empty.`
          : `“${file.name}” has ${file.size} bytes, too few for an archive.`,
      remedy: 'Download the archive again. This copy is truncated.',
    };
  }
  if (maxBytes !== undefined && file.size > maxBytes) {
    return {
      problem: `“${file.name}” has ${file.size} bytes; the limit of this deployment is ${maxBytes}.`,
      remedy: 'Ask an administrator to raise the limit, or restore fewer stores from a smaller archive.',
    };
  }
  return undefined;
}

/** Reads the first bytes of the file: a renamed photo is refused before hours of upload. */
export async function checkContent(file: Blob & { readonly name: string }): Promise<FileProblem | undefined> {
  let head: Uint8Array;
  try {
    head = new Uint8Array(await file.slice(0, 8).arrayBuffer());
  } catch {
    return unreadable(file.name);
  }
  const startsWith = (magic: readonly number[]) => magic.every((byte, i) => head[i] === byte);
  if (MAGICS.some(startsWith)) return undefined;
  const kind = KNOWN.find(([, magic]) => startsWith(magic))?.[0];
  return {
    problem: `“${file.name}” is not an ngbak archive${kind === undefined ? '' : `: it is ${kind}`}.`,
    remedy: 'Choose a file that ngbak downloaded. Archives are compressed with gzip or zstd.',
  };
}

/** The errors of browsers for a file that was moved, changed or deleted after it was chosen. */
export function unreadable(name: string): FileProblem {
  return {
    problem: `“${name}” can no longer be read. It was changed or moved, or its drive was removed.`,
    remedy: 'Choose the file again. Uploaded parts are kept.',
  };
}
