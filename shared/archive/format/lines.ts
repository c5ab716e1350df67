import { z } from 'zod';
import { crc32Hex } from '../../core/crc32.ts';
import { damagedArchive, type IntegrityError } from '../../core/errors.ts';
import type { ArchiveLimits } from '../../core/limits.ts';
import type { LineRules } from '../../core/lines.ts';
import type { IndexEntry } from './types.ts';

/** An entry of the index, with the CRC-32 of its compressed bytes, so that every bit of a file is covered. */
export interface IndexLine extends IndexEntry {
  readonly crc32: number;
}

const Line = z.object({
  name: z.string(),
  size: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  offset: z.int().nonnegative(),
  length: z.int().positive(),
  crc32: z.string().regex(/^[0-9a-f]{8}$/),
});

/** One line of `index.jsonl`, including its line feed. The order of fields is fixed. */
export function formatIndexLine({ name, size, sha256, offset, length, crc32 }: IndexLine): string {
  return `${JSON.stringify({ name, size, sha256, offset, length, crc32: crc32Hex(crc32) })}\n`;
}

/** Throws IntegrityError if the text is not a line of an index. */
export function parseIndexLine(text: string, where: string): IndexLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badLine(where, cause);
  }
  const parsed = Line.safeParse(value);
  if (!parsed.success) throw badLine(where, parsed.error);
  return { ...parsed.data, crc32: Number.parseInt(parsed.data.crc32, 16) };
}

function badLine(where: string, cause: unknown): IntegrityError {
  return damagedArchive(`${where} is damaged: index.jsonl has a line that is not an entry.`, cause);
}

/** One line of `SHA256SUMS` as `sha256sum` writes it in text mode, including its line feed. */
export function formatSumsLine({ name, sha256 }: { name: string; sha256: string }): string {
  return `${sha256}  ${name}\n`;
}

/** Throws IntegrityError. Also accepts the binary marker of `sha256sum` and a leading `./`. */
export function parseSumsLine(text: string, where: string): { name: string; sha256: string } {
  const match = /^([0-9a-f]{64}) [ *](?:\.\/)*(.+)$/.exec(text);
  if (match?.[1] !== undefined && match[2] !== undefined) return { sha256: match[1], name: match[2] };
  throw damagedArchive(`${where} is damaged: SHA256SUMS has a line that is not a digest.`);
}

/** Rules for the lines of an archive's own entries; a violation is an IntegrityError that names `where`. */
export function lineRules({ lineBytes }: ArchiveLimits, where: string): LineRules {
  const invalid = (what: string, cause?: unknown) =>
    damagedArchive(`${where} is damaged: it ${what}.`, cause);
  return {
    bytesMax: lineBytes,
    tooLong: () => invalid(`has a line of more than ${lineBytes} bytes`),
    notUtf8: (cause) => invalid('has a line that is not UTF-8', cause),
    unfinished: () => invalid('has a last line without a line feed'),
  };
}

/** Compares lines by their UTF-8 bytes. They start with a digest, which decides most comparisons. */
export function compareSumsLines(left: string, right: string): number {
  const a = left.slice(0, 64);
  const b = right.slice(0, 64);
  if (a !== b) return a < b ? -1 : 1;
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
