import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { combineCrc32 } from '../../core/crc32.ts';
import { LIMITS } from '../../core/limits.ts';
import { encodeFooter } from '../format/footer.ts';
import { formatIndexLine, type IndexLine } from '../format/lines.ts';
import type { ByteSource } from '../format/types.ts';
import { type OpenedArchive, readIndex } from './open.ts';

/** A range of an archive that holds all entries of one group, and no others. */
export interface GroupRegion {
  /** In bytes from the start of the archive. */
  readonly offset: number;
  readonly length: number;
  readonly entries: number;
  /** Of its bytes, as the index states it for each entry. */
  readonly crc32: number;
  /** SHA-256 of its lines in the index, with offsets from the start of the region. 64 hexadecimal digits. */
  readonly index: string;
}

/** The regions of an archive, and its checksum. */
export interface ArchiveRegions<Group> {
  /** Groups whose entries do not follow one another are absent. */
  readonly groups: ReadonlyMap<Group, GroupRegion>;
  /** Of the whole archive, as index and footer state it. */
  readonly crc32: number;
}

/**
 * Computes the CRC-32 of each group of entries, and that of the whole archive, from what index and footer state: no data
 * is read. Throws IntegrityError if the index is damaged.
 *
 * @param groupOf  the group of an entry, by its name; undefined for none
 */
export async function describeRegions<Group>(
  source: ByteSource,
  { footer, manifest }: Pick<OpenedArchive, 'footer' | 'manifest'>,
  groupOf: (name: string) => Group | undefined,
): Promise<ArchiveRegions<Group>> {
  const groups = new Map<Group, Building>();
  let whole = 0;
  for await (const line of readIndex(source, footer, manifest, LIMITS)) {
    whole = combineCrc32(whole, line.crc32, line.length);
    const group = groupOf(line.name);
    if (group === undefined) continue;
    const region = groups.get(group) ?? new Building(line.offset);
    region.add(line);
    groups.set(group, region);
  }
  for (const { length, crc32: crc } of [footer.index, footer.sums, footer.manifest, footer.end]) {
    whole = combineCrc32(whole, crc, length);
  }
  const end = encodeFooter(footer);
  const built = [...groups].flatMap(([group, building]) => {
    const region = building.end();
    return region ? [[group, region] as const] : [];
  });
  return { groups: new Map(built), crc32: combineCrc32(whole, crc32(end), end.length) };
}

class Building {
  readonly #offset: number;
  readonly #hash = createHash('sha256');
  #length = 0;
  #entries = 0;
  #crc32 = 0;
  #isScattered = false;

  constructor(offset: number) {
    this.#offset = offset;
  }

  add(line: IndexLine): void {
    const offset = line.offset - this.#offset;
    this.#isScattered ||= offset !== this.#length;
    this.#hash.update(formatIndexLine({ ...line, offset }));
    this.#length += line.length;
    this.#entries++;
    this.#crc32 = combineCrc32(this.#crc32, line.crc32, line.length);
  }

  /** Undefined if its entries do not follow one another. */
  end(): GroupRegion | undefined {
    if (this.#isScattered) return undefined;
    const [offset, length, entries] = [this.#offset, this.#length, this.#entries];
    return { offset, length, entries, crc32: this.#crc32, index: this.#hash.digest('hex') };
  }
}
