import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** Last bytes of a manifest: its position (u64), major and minor version (u16 each), and these four letters. */
const FOOTER_BYTES = 16;
const MAGIC = 'LANC';

/** A file that a version of a Lance dataset consists of. */
export interface LanceFile {
  /** Relative to the folder of the dataset. With `isFolder`, at least one file is in it. */
  readonly path: string;
  readonly isFolder?: boolean;
  /** In bytes; 0 if the manifest does not state it. */
  readonly size: number;
}

/** What a manifest of a Lance dataset names. */
export interface LanceManifest {
  readonly version: bigint;
  readonly files: readonly LanceFile[];
  /** Number of files that are outside of the dataset, such as those of a shallow clone. */
  readonly elsewhere: number;
}

/** The content is not that of a manifest. */
export class LanceManifestError extends Error {
  override readonly name = 'LanceManifestError';
}

/**
 * Reads the manifest of one version of a Lance dataset: messages `Manifest` and `IndexSection` of
 * `protos/table.proto` in https://github.com/lance-format/lance. Fields that do not name files are skipped. Throws
 * LanceManifestError.
 */
export function readManifest(content: Buffer): LanceManifest {
  const footer = content.subarray(-FOOTER_BYTES);
  if (footer.length < FOOTER_BYTES || footer.toString('latin1', 12) !== MAGIC) {
    throw new LanceManifestError('it does not end with the mark of a Lance file');
  }
  try {
    return new ManifestReader(content).read(Number(footer.readBigUInt64LE(0)));
  } catch (error) {
    if (error instanceof LanceManifestError) throw error;
    // The library throws RangeError and Error for invalid data.
    throw new LanceManifestError('it is not a valid Protocol Buffers message', { cause: error });
  }
}

class ManifestReader {
  readonly #content: Buffer;
  readonly #files: LanceFile[] = [];
  #elsewhere = 0;

  constructor(content: Buffer) {
    this.#content = content;
  }

  read(position: number): LanceManifest {
    let version = 0n;
    let indexes: number | undefined;
    let transaction = '';
    each(this.#sectionAt(position), (field, reader) => {
      if (field === 2) this.#fragment(reader.bytes());
      else if (field === 3) version = BigInt(reader.uint64());
      else if (field === 6) indexes = Number(reader.uint64());
      else if (field === 12) transaction = reader.string();
      else return false;
      return true;
    });
    if (indexes !== undefined) {
      each(this.#sectionAt(indexes), (field, reader) => {
        if (field !== 1) return false;
        this.#index(reader.bytes());
        return true;
      });
    }
    if (transaction !== '') this.#files.push({ path: `_transactions/${transaction}`, size: 0 });
    return { version, files: this.#files, elsewhere: this.#elsewhere };
  }

  /** A message with its length (u32) before it. */
  #sectionAt(position: number): Uint8Array {
    if (position + 4 > this.#content.length) throw new LanceManifestError('it is cut off');
    const end = position + 4 + this.#content.readUInt32LE(position);
    if (end > this.#content.length) throw new LanceManifestError('it is cut off');
    return this.#content.subarray(position + 4, end);
  }

  /** `DataFragment`: data files, overlays, deletions, and row IDs in files of their own. */
  #fragment(message: Uint8Array): void {
    let id = 0n;
    let deletions: Uint8Array | undefined;
    each(message, (field, reader) => {
      if (field === 1) id = BigInt(reader.uint64());
      else if (field === 2) this.#dataFile(reader.bytes());
      else if (field === 3) deletions = reader.bytes();
      else if (field === 6 || field === 8 || field === 10) this.#externalFile(reader.bytes());
      else if (field === 11) this.#overlay(reader.bytes());
      else return false;
      return true;
    });
    if (deletions !== undefined) this.#deletionFile(id, deletions);
  }

  /** `DataOverlayFile` */
  #overlay(message: Uint8Array): void {
    each(message, (field, reader) => {
      if (field !== 1) return false;
      this.#dataFile(reader.bytes());
      return true;
    });
  }

  /** `DataFile` */
  #dataFile(message: Uint8Array): void {
    let path = '';
    let size = 0;
    let isElsewhere = false;
    each(message, (field, reader) => {
      if (field === 1) path = reader.string();
      else if (field === 6) size = Number(reader.uint64());
      else if (field === 7) isElsewhere = reader.uint32() >= 0;
      else return false;
      return true;
    });
    this.#add(isElsewhere, { path: `data/${path}`, size });
  }

  /** `DeletionFile`: named by the fragment's ID, the version that was read, and a further ID. */
  #deletionFile(fragment: bigint, message: Uint8Array): void {
    let [type, version, id] = [0, 0n, 0n];
    let isElsewhere = false;
    each(message, (field, reader) => {
      if (field === 1) type = reader.int32();
      else if (field === 2) version = BigInt(reader.uint64());
      else if (field === 3) id = BigInt(reader.uint64());
      else if (field === 7) isElsewhere = reader.uint32() >= 0;
      else return false;
      return true;
    });
    const ending = type === 1 ? 'bin' : 'arrow';
    this.#add(isElsewhere, { path: `_deletions/${fragment}-${version}-${id}.${ending}`, size: 0 });
  }

  /** `ExternalFile` */
  #externalFile(message: Uint8Array): void {
    each(message, (field, reader) => {
      if (field !== 1) return false;
      this.#add(false, { path: reader.string(), size: 0 });
      return true;
    });
  }

  /** `IndexMetadata`: a folder named by the UUID of the index, and its files where they are listed. */
  #index(message: Uint8Array): void {
    let folder = '';
    const files: LanceFile[] = [];
    let isElsewhere = false;
    each(message, (field, reader) => {
      if (field === 1) folder = `_indices/${uuidOf(reader.bytes())}`;
      else if (field === 9) isElsewhere = reader.uint32() >= 0;
      else if (field === 10) files.push(indexFile(reader.bytes()));
      else return false;
      return true;
    });
    for (const { path, size } of files) this.#add(isElsewhere, { path: `${folder}/${path}`, size });
    if (files.length === 0) this.#add(isElsewhere, { path: folder, isFolder: true, size: 0 });
  }

  #add(isElsewhere: boolean, file: LanceFile): void {
    if (isElsewhere) this.#elsewhere++;
    else this.#files.push(file);
  }
}

/** `IndexFile` */
function indexFile(message: Uint8Array): LanceFile {
  let path = '';
  let size = 0;
  each(message, (field, reader) => {
    if (field === 1) path = reader.string();
    else if (field === 2) size = Number(reader.uint64());
    else return false;
    return true;
  });
  return { path, size };
}

/** `UUID` */
function uuidOf(message: Uint8Array): string {
  let hex = '';
  each(message, (field, reader) => {
    if (field !== 1) return false;
    hex = Buffer.from(reader.bytes()).toString('hex');
    return true;
  });
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Reads the fields of a message. Those for which `use` returns false are skipped. */
function each(message: Uint8Array, use: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (!use(field, reader)) reader.skip(type, field);
    else if (type === WireType.StartGroup) throw new LanceManifestError('it has a group');
  }
}
