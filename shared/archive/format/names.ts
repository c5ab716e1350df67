import { InvalidInputError } from '../../core/errors.ts';
import type { ArchiveLimits } from '../../core/limits.ts';

/** Entries with metadata of the archive itself, in the order in which they end it. */
export const INDEX_NAME = 'index.jsonl';
export const SUMS_NAME = 'SHA256SUMS';
export const MANIFEST_NAME = 'manifest.json';

const REMEDY = 'Do not unpack or restore this archive. Use another copy, or create it again with ngbak.';

/** A name for use in messages: control characters and quotes escaped, cut to a readable length. */
export function quoteName(name: string): string {
  const quoted = JSON.stringify(name).replaceAll(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return quoted.length <= 200 ? quoted : `${quoted.slice(0, 200)}…"`;
}

/**
 * Checks that every system unpacks a name to the same place below the current folder. Throws InvalidInputError for
 * absolute and parent paths, empty and dot parts, backslashes, colons of drives, control characters, unpaired
 * surrogates, and names that are too long.
 */
export function checkEntryName(name: string, limits: ArchiveLimits, where: string): void {
  const problem = nameProblem(name, limits);
  if (problem === undefined) return;
  throw new InvalidInputError(`${where}: entry name ${quoteName(name)} ${problem}.`, { remedy: REMEDY });
}

function nameProblem(name: string, limits: ArchiveLimits): string | undefined {
  if (name === '') return 'is empty';
  if (!name.isWellFormed() || name.includes('\ufffd')) return 'is not valid UTF-8';
  const bytes = Buffer.byteLength(name);
  if (bytes > limits.nameBytes) return `is ${bytes} bytes long; the limit is ${limits.nameBytes}`;
  if (name.startsWith('/')) return 'is an absolute path';
  if (/^[a-zA-Z]:/.test(name)) return 'starts with a drive letter';
  if (name.includes('\\')) return 'holds a backslash';
  if (/[\p{Cc}\u2028\u2029]/u.test(name)) return 'holds a control character';
  const parts = name.split('/');
  if (parts.includes('..')) return 'leads to a parent folder';
  if (parts.includes('.') || parts.includes('')) return 'has an empty or "." part';
  return undefined;
}

/**
 * The names seen in one archive. Some systems store names that differ only in case or Unicode form in one file, so
 * such names are treated as equal. Holds one string for each entry, at most `limits.entries` of them and
 * `limits.namesBytes` together: folding can make a name twenty times as long.
 */
export class NameRegister {
  readonly #seen = new Set<string>();
  #bytes = 0;
  readonly #limits: ArchiveLimits;
  readonly #where: string;

  constructor(limits: ArchiveLimits, where: string) {
    this.#limits = limits;
    this.#where = where;
  }

  /** Checks and adds a name. Throws InvalidInputError. */
  add(name: string): void {
    checkEntryName(name, this.#limits, this.#where);
    const folded = name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFC');
    if (this.#seen.has(folded)) {
      throw new InvalidInputError(
        `${this.#where}: entry name ${quoteName(name)} is there twice (names that differ only in case or Unicode form count as one).`,
        { remedy: REMEDY },
      );
    }
    if (this.#seen.size >= this.#limits.entries) {
      throw new InvalidInputError(`${this.#where} has more than ${this.#limits.entries} entries.`, {
        remedy: REMEDY,
      });
    }
    this.#bytes += Buffer.byteLength(folded);
    if (this.#bytes > this.#limits.namesBytes) {
      throw new InvalidInputError(
        `${this.#where}: the names of its entries have more than ${this.#limits.namesBytes} bytes together.`,
        { remedy: REMEDY },
      );
    }
    this.#seen.add(folded);
  }
}

/**
 * Encodes an external name (a collection, a namespace) as one part of an entry name, so that different names stay
 * different under any case and Unicode folding of a file system: bytes other than `a-z 0-9 . _ -`, and a leading dot,
 * become `%` and two hexadecimal digits of their UTF-8. Reversible with decodeURIComponent.
 */
export function encodeNamePart(name: string): string {
  return [...Buffer.from(name, 'utf8')]
    .map((byte, at) => {
      const character = String.fromCharCode(byte);
      const plain = /[a-z0-9_-]/.test(character) || (character === '.' && at > 0);
      return plain ? character : `%${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
}
