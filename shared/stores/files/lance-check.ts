import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { parseInput } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import type { EntrySink } from '../content-check.ts';
import type { StoreWarning } from '../warning.ts';
import { type LanceFile, type LanceManifest, LanceManifestError, readManifest } from './lance-manifest.ts';
import { FILES_MAX } from './listing.ts';
import { FOLDER, fileNameOf, foldersOf } from './names.ts';
import { datasetOf } from './order.ts';

/** Larger manifests are not read, in bytes. A manifest has about 150 bytes for each file that it names. */
const MANIFEST_BYTES_MAX = 64 * 1024 ** 2;
/** Maximum number of datasets whose newest version is incomplete that are kept, with the first missing file of each. */
const PROBLEMS_MAX = 20;

const Incomplete = z.object({ manifest: z.string(), missing: z.string() });
const State = z.object({
  /** The newest version of the dataset whose manifests are being read. */
  newest: z
    .object({ dataset: z.string(), version: z.string(), incomplete: Incomplete.nullable() })
    .nullable(),
  problems: z.array(z.string()),
  /** By code of the warning. */
  found: z.record(z.string(), z.object({ count: z.number(), samples: z.array(z.string()) })),
});

const TEXTS: Readonly<Record<string, string>> = {
  'lance-versions-incomplete':
    'Older versions of Lance datasets name files that are not in the archive. The newest version of each is complete.',
  'lance-files-elsewhere':
    'Lance datasets name files outside of their own folder, which are not in the archive: save the folders that hold them as well.',
  'lance-manifests-not-checked':
    'Manifests of Lance datasets cannot be read, so that the files of these versions were not looked up in the archive.',
};
type Code = keyof typeof TEXTS;

/** The files of an archive by name, and the folders of indexes. */
interface Held {
  readonly sizes: ReadonlyMap<string, number>;
  readonly folders: ReadonlySet<string>;
}

/**
 * Checks that every file that the manifest of a version of a Lance dataset names is in the archive, with its size. The
 * manifests of a dataset follow each other in the archive, so that only the result for its newest version is held.
 */
export class LanceCheck {
  readonly #archive: EntryReader;
  readonly #state: z.infer<typeof State>;
  #held: Promise<Held | undefined> | undefined;

  /** @param from state returned by {@link save} */
  constructor(archive: EntryReader, from: Json | undefined) {
    this.#archive = archive;
    this.#state =
      from === undefined
        ? { newest: null, problems: [], found: {} }
        : parseInput(State, from, 'The state of the check');
  }

  /** Passes the content of an entry on to `inner`, and checks it as well if it is the manifest of a version. */
  watch(file: string, { size }: IndexEntry, inner: EntrySink): EntrySink {
    const dataset = datasetOf(file);
    if (dataset === undefined) return inner;
    if (size > MANIFEST_BYTES_MAX) {
      this.#warn('lance-manifests-not-checked', file);
      return inner;
    }
    const chunks: Uint8Array[] = [];
    return {
      write: (chunk) => {
        chunks.push(Buffer.from(chunk));
        return inner.write(chunk);
      },
      end: async () => {
        await inner.end();
        await this.#check(file, dataset, Buffer.concat(chunks));
      },
      abort: () => inner.abort(),
    };
  }

  save(): Json {
    return this.#state;
  }

  end(): { problems: readonly string[]; warnings: StoreWarning[] } {
    this.#endDataset();
    const warnings = Object.entries(this.#state.found).map(([code, { count, samples }]) => ({
      code,
      text: TEXTS[code] ?? '',
      count,
      samples,
    }));
    return { problems: this.#state.problems, warnings };
  }

  async #check(file: string, dataset: string, content: Buffer): Promise<void> {
    let manifest: LanceManifest;
    try {
      manifest = readManifest(content);
    } catch (error) {
      if (!(error instanceof LanceManifestError)) throw error;
      this.#warn('lance-manifests-not-checked', `${file}: ${error.message}`);
      return;
    }
    if (manifest.elsewhere > 0) this.#warn('lance-files-elsewhere', file);
    if (this.#state.newest?.dataset !== dataset) this.#endDataset();
    this.#held ??= this.#list();
    const held = await this.#held;
    if (!held) {
      this.#warn('lance-manifests-not-checked', file);
      return;
    }
    const missing = this.#firstMissing(held, dataset, manifest.files);
    const incomplete = missing === undefined ? null : { manifest: file, missing };
    const { newest } = this.#state;
    const isNewest = newest === null || manifest.version > BigInt(newest.version);
    const older = isNewest ? newest?.incomplete : incomplete;
    if (older) this.#warn('lance-versions-incomplete', `${older.manifest}: ${older.missing}`);
    if (isNewest) this.#state.newest = { dataset, version: String(manifest.version), incomplete };
  }

  #endDataset(): void {
    const { newest, problems } = this.#state;
    this.#state.newest = null;
    if (!newest?.incomplete || problems.length >= PROBLEMS_MAX) return;
    const { manifest, missing } = newest.incomplete;
    problems.push(`the newest version of a Lance dataset, ${manifest}, names ${missing}`);
  }

  /** The first file of a manifest that the archive does not contain as the manifest states it. */
  #firstMissing({ sizes, folders }: Held, dataset: string, files: readonly LanceFile[]): string | undefined {
    const root = dataset === '' ? '' : `${dataset}/`;
    for (const { path, size, isFolder } of files) {
      const file = root + path;
      if (isFolder) {
        if (!folders.has(file)) return `the folder ${file}, which has no files in the archive`;
        continue;
      }
      const held = sizes.get(file);
      if (held === undefined) return `${file}, which is not in the archive`;
      if (size > 0 && held !== size) return `${file} with ${size} bytes, but the archive contains ${held}`;
    }
    return undefined;
  }

  /** The files of the archive; undefined if there are more than a restore loads. */
  async #list(): Promise<Held | undefined> {
    const sizes = new Map<string, number>();
    const folders = new Set<string>();
    for await (const { name, size } of this.#archive.entries(FOLDER)) {
      const file = fileNameOf(name);
      if (file === undefined) continue;
      if (sizes.size === FILES_MAX) return undefined;
      sizes.set(file, size);
      if (file.includes('_indices/')) for (const folder of foldersOf(file)) folders.add(folder);
    }
    return { sizes, folders };
  }

  #warn(code: Code, sample: string): void {
    const found = this.#state.found[code] ?? { count: 0, samples: [] };
    found.count++;
    if (found.samples.length < PROBLEMS_MAX) found.samples.push(sample.slice(0, 200));
    this.#state.found[code] = found;
  }
}
