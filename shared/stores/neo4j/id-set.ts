/** IDs per page: those with the same leading digits. */
const PAGE_IDS = 1000;
const PAGE_DIGITS = 3;
const PAGE_BYTES = Math.ceil(PAGE_IDS / 8);
/** Maximum number of pages, about 30 MB: enough for 10^8 nodes, since internal IDs are dense. */
const PAGES_MAX = 100_000;

/** A set of internal IDs, as digits. Neighboring IDs share a page and take one bit each. */
export class IdSet {
  readonly #pages: Map<string, Buffer>;
  /** False once the maximum number of pages was exceeded: the set is then incomplete. */
  complete: boolean;

  /** @param from the result of {@link save} */
  constructor(
    from: { readonly complete: boolean; readonly pages: Readonly<Record<string, string>> } = {
      complete: true,
      pages: {},
    },
  ) {
    this.complete = from.complete;
    this.#pages = new Map(
      Object.entries(from.pages).map(([page, bits]) => [page.slice(1), Buffer.from(bits, 'base64')]),
    );
  }

  save(): { complete: boolean; pages: Record<string, string> } {
    // Prefixed with a letter, because objects reorder numeric keys.
    const pages = [...this.#pages].map(([page, bits]) => [`p${page}`, bits.toString('base64')] as const);
    return { complete: this.complete, pages: Object.fromEntries(pages) };
  }

  /** Returns false if the ID is in the set already; true if it is new, or if the set is full. */
  add(id: string): boolean {
    const name = id.slice(0, -PAGE_DIGITS);
    let page = this.#pages.get(name);
    if (!page) {
      if (this.#pages.size >= PAGES_MAX) {
        this.complete = false;
        return true;
      }
      page = Buffer.alloc(PAGE_BYTES);
      this.#pages.set(name, page);
    }
    const at = Number(id.slice(-PAGE_DIGITS));
    const before = page[at >> 3] ?? 0;
    const bit = 1 << (at & 7);
    page[at >> 3] = before | bit;
    return (before & bit) === 0;
  }

  /** Counts the IDs of this set that another one lacks, with samples. */
  missingIn(other: IdSet, samplesMax: number): { count: number; samples: string[] } {
    const none = Buffer.alloc(PAGE_BYTES);
    const samples: string[] = [];
    let count = 0;
    for (const [name, page] of this.#pages) {
      const held = other.#pages.get(name) ?? none;
      if (page.equals(held)) continue;
      for (let at = 0; at < PAGE_IDS; at++) {
        const isMissing = (page[at >> 3] ?? 0) & ~(held[at >> 3] ?? 0) & (1 << (at & 7));
        if (!isMissing) continue;
        count++;
        const digits = name === '' ? String(at) : `${name}${String(at).padStart(PAGE_DIGITS, '0')}`;
        if (samples.length < samplesMax) samples.push(digits);
      }
    }
    return { count, samples };
  }
}
