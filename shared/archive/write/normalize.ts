import { createHash } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import { PART_BYTES, uploadStream } from '../../aws/upload-stream.ts';
import {
  ANOTHER_ARCHIVE,
  damagedArchive,
  type IntegrityError,
  InvalidInputError,
} from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { type ArchiveLimits, LIMITS } from '../../core/limits.ts';
import { readLines } from '../../core/lines.ts';
import type { Codec } from '../format/codec.ts';
import { lineRules, parseSumsLine } from '../format/lines.ts';
import { checkVersion, Manifest, type ManifestDraft, parseManifestJson } from '../format/manifest.ts';
import { INDEX_NAME, MANIFEST_NAME, quoteName, SUMS_NAME } from '../format/names.ts';
import {
  type ConvertedScript,
  convertManifest,
  convertName,
  isKeyValueFile,
  isNgraf023,
  keylessName,
  SCRIPT_NAME,
  type ScriptReader,
} from '../format/ngraf-023.ts';
import type { ByteSource, EntryPiece } from '../format/types.ts';
import { readArchiveStream, type StreamEntry } from '../read/stream.ts';
import { type WrittenEntry, writeArchive } from './write.ts';

export interface NormalizeOptions {
  readonly signal?: AbortSignal | undefined;
  readonly limits?: Partial<ArchiveLimits>;
  /** Codec and level of the new archive; gzip by default. */
  readonly codec?: Codec;
  readonly level?: number;
  /** Converts the Cypher script of an archive of NGRAF-023 into the graph. If omitted: the script is kept unchanged. */
  readonly script?: ScriptReader | undefined;
  /** Called with the bytes of the `manifest.json` that the new one replaces. Nothing is checked by then. */
  original?(manifest: Buffer): void;
  /** Reports the bytes of the source that were read. */
  progress?(bytesDone: number, bytesTotal: number): void;
}

/**
 * Rewrites any archive (repacked by a user, from NGRAF-023, or from ngbak with another codec) into a seekable one,
 * front to back, in one pass and bounded memory. Every entry is checked against `SHA256SUMS`, and that against the
 * manifest: the stream ends with an error if anything is damaged, missing or superfluous, and its output must then be
 * discarded. Returns the new manifest, whose `lacks` lists the information that an old archive does not have.
 */
export async function* normalizeArchive(
  source: ByteSource,
  options: NormalizeOptions = {},
): AsyncGenerator<Buffer, Manifest> {
  const { signal, codec = 'gzip', level } = options;
  const reading = new TarConversion(source, options);
  return yield* writeArchive(reading.pieces(), (entries) => reading.conclude(entries), {
    codec,
    ...(level === undefined ? {} : { level }),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The same into an object, which is not created if it fails. */
export async function normalizeToS3(
  source: ByteSource,
  target: { s3: S3Client; bucket: string; key: string } & NormalizeOptions,
): Promise<Manifest> {
  const { s3, bucket, key, signal } = target;
  let manifest: Manifest | undefined;
  const chunks = (async function* () {
    manifest = yield* normalizeArchive(source, target);
  })();
  // The new archive is about as large as the old one; a third is added, so that 10,000 parts are enough.
  const partBytes = Math.max(PART_BYTES, Math.ceil(source.size / 7500));
  await uploadStream({ s3, bucket, key, chunks, signal, partBytes });
  if (manifest === undefined) throw new TypeError('an archive ended without a manifest');
  return manifest;
}

/** The results of one pass over an archive. */
class TarConversion {
  readonly #source: ByteSource;
  readonly #options: NormalizeOptions;
  readonly #limits: ArchiveLimits;
  #manifest: Record<string, unknown> | undefined;
  /** SHA-256 of the `SHA256SUMS` entry, and the digests that it lists, by name. */
  #sums: { sha256: string; digests: Map<string, string> } | undefined;
  #indexSha256: string | undefined;
  #converted = false;
  #graph: ConvertedScript | undefined;

  constructor(source: ByteSource, options: NormalizeOptions) {
    this.#source = source;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
  }

  async *pieces(): AsyncGenerator<EntryPiece> {
    const { name: where, size } = this.#source;
    const chunks = this.#read(size);
    const { limits, signal, script } = this.#options;
    const entries = readArchiveStream(chunks, where, { ...(limits ? { limits } : {}), signal });
    for await (const entry of entries) {
      if (entry.name === MANIFEST_NAME) this.#manifest = await this.#readManifest(entry);
      else if (entry.name === SUMS_NAME) this.#sums = await this.#readSums(entry);
      else if (entry.name === INDEX_NAME) this.#indexSha256 = await hashOf(entry.data);
      else if (script && entry.name === SCRIPT_NAME) {
        this.#converted = true;
        this.#graph = yield* script(entry.data);
      } else if (script && entry.name.startsWith('graph/')) {
        throw new InvalidInputError(
          `${where} holds ${quoteName(entry.name)}, where a Cypher script is to be read.`,
          { remedy: 'Restore it without "cypher_script": that is for archives that NGRAF-023 wrote.' },
        );
      } else yield await this.#piece(entry);
    }
  }

  /** The manifest of the new archive, once everything was read. Throws if any part does not match the others. */
  conclude(entries: readonly WrittenEntry[]): ManifestDraft {
    const where = this.#source.name;
    const manifest = this.#manifest;
    if (!manifest) {
      throw new InvalidInputError(`${where} holds no ${MANIFEST_NAME}: it is not a backup.`, {
        remedy: 'Pack the whole folder of an unpacked backup, with manifest.json at its top.',
      });
    }
    if (isNgraf023(manifest)) {
      if (this.#options.script && !this.#graph) throw noScript(where);
      return convertManifest(
        manifest,
        entries.map(({ name }) => name),
        where,
        this.#graph,
      );
    }
    if (this.#options.script) throw noScript(where);
    checkVersion(manifest, where);
    const { format_version, checksum, index, ...draft } = parseInput(
      Manifest,
      manifest,
      `${MANIFEST_NAME} of ${where}`,
      ANOTHER_ARCHIVE,
    );
    if (this.#converted) throw damaged(where, 'it mixes files of ngbak and of NGRAF-023');
    const sums = this.#sums;
    if (!sums) throw damaged(where, `${SUMS_NAME} is missing`);
    if (sums.sha256 !== checksum)
      throw damaged(where, `${SUMS_NAME} does not match the checksum in the manifest`);
    if (this.#indexSha256 !== undefined && this.#indexSha256 !== index.sha256) {
      throw damaged(where, `${INDEX_NAME} does not match the manifest`);
    }
    for (const { name, sha256 } of entries) {
      const listed = sums.digests.get(name);
      if (listed === undefined) throw damaged(where, `entry ${quoteName(name)} is not in ${SUMS_NAME}`);
      if (listed !== sha256) {
        throw damaged(
          where,
          `the SHA-256 of entry ${quoteName(name)} is ${sha256}, and ${SUMS_NAME} says ${listed}`,
        );
      }
      sums.digests.delete(name);
    }
    const [missing] = sums.digests.keys();
    if (missing !== undefined) throw damaged(where, `entry ${quoteName(missing)} is missing`);
    if (entries.length !== index.entries) {
      throw damaged(where, `it holds ${entries.length} entries, and the manifest says ${index.entries}`);
    }
    return draft;
  }

  async *#read(size: number): AsyncGenerator<Uint8Array> {
    let done = 0;
    for await (const chunk of this.#source.read(0, size)) {
      done += chunk.length;
      yield chunk;
      this.#options.progress?.(done, size);
    }
  }

  async #piece({ name, size, data }: StreamEntry): Promise<EntryPiece> {
    const piece = { size, offset: 0, length: size };
    const converted = convertName(name);
    if (converted !== undefined) {
      this.#converted = true;
      return { ...piece, name: converted, data };
    }
    if (!isKeyValueFile(name) || size === 0) return { ...piece, name, data };
    // Only NGRAF-023 wrote lists of values without keys. They begin with a bracket.
    const chunks = data[Symbol.asyncIterator]();
    const first = await chunks.next();
    const text = first.done ? '' : first.value.toString('latin1').trimStart();
    const keyless = text.startsWith('[');
    if (keyless) this.#converted = true;
    const all = (async function* () {
      for (let next = first; !next.done; next = await chunks.next()) yield next.value;
    })();
    return { ...piece, name: keyless ? keylessName(name) : name, data: all };
  }

  async #readManifest({ size, data }: StreamEntry): Promise<Record<string, unknown>> {
    const where = this.#source.name;
    if (size > this.#limits.manifestBytes) {
      throw new InvalidInputError(
        `${MANIFEST_NAME} of ${where} has ${size} bytes; the limit is ${this.#limits.manifestBytes}.`,
        { remedy: ANOTHER_ARCHIVE },
      );
    }
    const parts: Buffer[] = [];
    for await (const chunk of data) parts.push(chunk);
    const bytes = Buffer.concat(parts);
    this.#options.original?.(bytes);
    return parseManifestJson(bytes, this.#limits, where);
  }

  async #readSums({ data }: StreamEntry) {
    const where = this.#source.name;
    const hash = createHash('sha256');
    const digests = new Map<string, string>();
    const hashed = (async function* () {
      for await (const chunk of data) {
        hash.update(chunk);
        yield chunk;
      }
    })();
    for await (const text of readLines(hashed, lineRules(this.#limits, `${SUMS_NAME} of ${where}`))) {
      const { name, sha256 } = parseSumsLine(text, where);
      if (digests.has(name) || digests.size >= this.#limits.entries) {
        throw damaged(where, `${SUMS_NAME} lists ${quoteName(name)} twice, or too many entries`);
      }
      digests.set(name, sha256);
    }
    return { sha256: hash.digest('hex'), digests };
  }
}

async function hashOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}

function noScript(where: string): InvalidInputError {
  return new InvalidInputError(`${where} holds no Cypher script of NGRAF-023 (${SCRIPT_NAME}).`, {
    remedy: 'Restore it without "cypher_script".',
  });
}

function damaged(where: string, what: string): IntegrityError {
  return damagedArchive(`${where} is damaged: ${what}.`);
}
