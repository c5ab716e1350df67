/** One part of a multipart upload: a range of the file. */
export interface FilePart {
  /** From 1 to 10,000. */
  readonly number: number;
  /** Where it starts in the file, in bytes. */
  readonly offset: number;
  readonly bytes: number;
}

/** A part in S3. */
export interface RemotePart {
  readonly number: number;
  readonly bytes: number;
  /** Hexadecimal; absent if the server does not store it. */
  readonly sha256?: string | undefined;
}

/** Splits a file of `size` bytes into parts of `partBytes`; only the last one may be shorter. */
export function cutIntoParts(size: number, partBytes: number): FilePart[] {
  const parts: FilePart[] = [];
  for (let offset = 0; offset < size; offset += partBytes) {
    parts.push({ number: parts.length + 1, offset, bytes: Math.min(partBytes, size - offset) });
  }
  return parts;
}
