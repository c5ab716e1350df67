import type { Manifest, ManifestDraft } from '../../archive/format/manifest.ts';
import { quoteName } from '../../archive/format/names.ts';
import type { EntryPiece, EntryReader } from '../../archive/format/types.ts';
import { EMPTY_ARCHIVE } from '../../archive/read/empty.ts';
import type { OpenedArchive } from '../../archive/read/open.ts';
import { writeArchive } from '../../archive/write/write.ts';
import { MultisetDigest, type Tallies } from '../../core/digest.ts';
import { IntegrityError, InvalidInputError } from '../../core/errors.ts';
import { HashSet } from '../../core/hash-set.ts';
import { type ByStore, roleOf } from '../../core/store-names.ts';
import { VERSION } from '../../core/version.ts';
import { storeOf } from '../../stores/check-archive.ts';
import type { ContentCheck } from '../../stores/content-check.ts';
import { definitionsOf } from '../../stores/postgres/archive.ts';
import type { TableDefinition } from '../../stores/postgres/definition.ts';
import { findAdapter } from '../../stores/registry.ts';
import { findProfile, PROFILES_THAT_MOVE, profileScopes, profileStatistics } from '../profiles.ts';
import { FilesForm } from './files-form.ts';
import { type Extent, FORMS, type Form, type FormName, type FormPlace, type KeyRecord } from './form.ts';
import { type Loss, LossBook, type NoteCode } from './losses.ts';
import { ADD_A_DOCUMENT, PostgresForm } from './postgres-form.ts';
import { RedisForm } from './redis-form.ts';

/** Keys among which equal ones are found: 64 MB. */
const KEYS_MAX = 2_000_000;
/** Longest ID of a backup. */
const ID_CHARACTERS_MAX = 80;

const OPENERS: Readonly<Record<FormName, (place: FormPlace) => Form>> = {
  files: (place) => new FilesForm(place),
  redis: (place) => new RedisForm(place),
  postgres: (place) => new PostgresForm(place),
};

/** What one namespace will consist of, with a digest of its records that does not depend on the form. */
export interface ConvertedNamespace extends Extent {
  readonly name: string;
  readonly digest: string;
}

/** What a conversion will do. Nothing is written by then. */
export interface Conversion {
  readonly from: FormName;
  readonly to: FormName;
  readonly namespaces: readonly ConvertedNamespace[];
  /** What the other form cannot hold. */
  readonly losses: readonly Loss[];
  /** What is left out although nothing is lost by it. */
  readonly notes: readonly Loss<NoteCode>[];
}

export interface ConversionOptions {
  readonly signal?: AbortSignal | undefined;
  /** The time by which keys have expired, in ms since 1970. The same for all steps of a conversion. */
  readonly now: number;
  /** Reports the number of records that were read. */
  progress?(records: number): void;
  /** The tables of the target, for a form of tables: {@link tablesOf} an archive of it. */
  readonly tables?: readonly TableDefinition[] | undefined;
}

/** The tables in an archive. Throws InvalidInputError if it has none. */
export async function tablesOf(archive: EntryReader): Promise<TableDefinition[]> {
  const tables = await definitionsOf(archive);
  if (tables.length > 0) return tables;
  throw new InvalidInputError('The archive of the target has no tables.', {
    remedy: ADD_A_DOCUMENT,
  });
}

/** A conversion between two forms of the key-value data of one archive. */
export class KeyValueConversion {
  readonly #archive: OpenedArchive;
  readonly #options: ConversionOptions;
  readonly #names: readonly string[];
  readonly #from: { readonly kind: FormName; readonly form: Form };
  readonly #to: { readonly kind: FormName; readonly form: Form; readonly scope: unknown };
  #records = 0;

  /** Throws InvalidInputError, with the reason, if the archive cannot be converted into that form. */
  constructor(archive: OpenedArchive, to: FormName, options: ConversionOptions) {
    this.#archive = archive;
    this.#options = options;
    const { manifest } = archive;
    const { scope, storage_backends } = manifest;
    const { profile, parameters = {} } = scope;
    const movable = profile === undefined ? undefined : findProfile(profile).movable;
    if (profile === undefined || !movable) {
      throw refused(
        `only ${PROFILES_THAT_MOVE.join(', ')} can keep its key-value data in several forms, and this archive is of ${profile ?? 'an unknown system'}`,
        'Restore the archive in its own form.',
      );
    }
    const kind = FORMS.find((form) => form === storage_backends.kv?.kind);
    if (!scope.stores.includes('kv') || kind === undefined) {
      const kinds = FORMS.join(', ');
      throw refused(`it has no key-value data of the kinds ${kinds}`, 'Choose a backup with the store "kv".');
    }
    const others = scope.stores.filter((name) => roleOf(name) === 'kv' && name !== 'kv');
    if (others.length > 0) {
      throw refused(
        `it has further stores of key-value data (${others.join(', ')}), and which of them the target would have is not known`,
        'Restore the archive in its own form.',
      );
    }
    if (kind === to) throw refused(`its key-value data is in the form "${to}"`, 'Restore it as it is.');
    if (scope.only?.key_prefixes !== undefined) {
      throw refused(
        'it has only keys with certain prefixes, which other forms cannot tell apart',
        'Choose a complete backup, or one of namespaces.',
      );
    }
    const place = { movable, now: options.now };
    const derivedScope = profileScopes(profile, parameters, kind).kv;
    const own: unknown = scope.scopes?.kv ?? derivedScope;
    const target = profileScopes(profile, parameters, to).kv;
    // Subsets of PostgreSQL name tables.
    const nameThere = (name: string) => (kind === 'postgres' ? movable.tables[name]?.name : name) ?? name;
    this.#names = movable.namespaces.filter(
      (name) => scope.only?.namespaces?.includes(nameThere(name)) !== false,
    );
    this.#from = { kind, form: OPENERS[kind]({ ...place, scope: own, derivedScope }) };
    const { tables } = options;
    if (to === 'postgres' && tables === undefined) {
      throw refused(
        'rows fit only the tables of their database',
        'Add --tables with an archive of the target: add a document with the new storage, and back up the target.',
      );
    }
    const form = OPENERS[to]({
      ...place,
      scope: target,
      derivedScope: target,
      ...(tables ? { tables } : {}),
    });
    this.#to = { kind: to, form, scope: target };
  }

  /** Reads all key-value data and determines what will be written, and what cannot be. */
  async survey(): Promise<Conversion> {
    const losses = new LossBook();
    const keys = new HashSet(KEYS_MAX);
    this.#records = 0;
    const namespaces: ConvertedNamespace[] = [];
    for (const name of this.#names) {
      const digest = new MultisetDigest();
      let [records, bytes] = [0, 0];
      for await (const record of this.#read(this.#from.form, this.#archive, name, losses)) {
        if (!keys.add(`${name}\0${record.id}`)) {
          throw refused(
            `namespace ${name} has the key ${quoteName(record.id)} twice`,
            'Correct it, back up again, and convert that backup.',
          );
        }
        const encoded = this.#to.form.encode(name, record, losses);
        if (!encoded) continue;
        addTo(digest, this.#to.form.decode?.(name, encoded) ?? record);
        records++;
        bytes += encoded.length;
      }
      namespaces.push({ name, records, bytes, digest: digest.hex() });
    }
    await this.#from.form.readOthers(this.#archive, losses);
    const { from, to } = { from: this.#from.kind, to: this.#to.kind };
    return { from, to, namespaces, losses: losses.losses(), notes: losses.notes() };
  }

  /**
   * Streams the converted archive: the key-value data in its new form, everything else unchanged. Each entry of the
   * source is compared with its digest. Returns the new manifest.
   *
   * @param tallies  of the source, as its check counted them
   */
  async *write(
    conversion: Conversion,
    tallies: Readonly<ByStore<Tallies>>,
  ): AsyncGenerator<Buffer, Manifest> {
    const { codec } = this.#archive;
    const { signal } = this.#options;
    const check = findAdapter(this.#to.kind, 'kv').check({
      archive: EMPTY_ARCHIVE,
      scope: this.#to.scope,
      version: undefined,
      edition: undefined,
    });
    let kv: Tallies = {};
    const self = this;
    async function* pieces(): AsyncGenerator<EntryPiece> {
      yield* self.#copied();
      yield* checked(self.#converted(conversion), check);
      kv = (await check.end()).tallies;
    }
    const draft = () => this.#manifest(conversion, { ...tallies, kv });
    return yield* writeArchive(pieces(), draft, { codec, ...(signal ? { signal } : {}) });
  }

  /**
   * Reads the converted archive in its new form. Throws IntegrityError if its records are not exactly those of the
   * source.
   */
  async compare(converted: OpenedArchive, conversion: Conversion): Promise<void> {
    this.#records = 0;
    const losses = new LossBook();
    for (const { name, records, digest } of conversion.namespaces) {
      const found = new MultisetDigest();
      let count = 0;
      for await (const record of this.#read(this.#to.form, converted, name, losses)) {
        addTo(found, record);
        count++;
      }
      if (count === records && found.hex() === digest) continue;
      throw new IntegrityError(
        `The converted archive has ${count} records in namespace ${name}, and the source ${records}${count === records ? ', with other content' : ''}.`,
        { remedy: 'Nothing was kept. Report this as a bug in ngbak.' },
      );
    }
  }

  async *#read(
    form: Form,
    archive: EntryReader,
    namespace: string,
    losses: LossBook,
  ): AsyncGenerator<KeyRecord> {
    const { signal, progress } = this.#options;
    for await (const record of form.read(archive, namespace, losses)) {
      signal?.throwIfAborted();
      progress?.(++this.#records);
      yield record;
    }
  }

  /** The entries of the other stores, as they are. */
  async *#copied(): AsyncGenerator<EntryPiece> {
    for await (const entry of this.#archive.entries('')) {
      this.#options.signal?.throwIfAborted();
      if (storeOf(entry.name) === 'kv') continue;
      const { name, size } = entry;
      yield { name, size, offset: 0, length: size, data: this.#archive.open(entry) };
    }
  }

  async *#converted({ namespaces }: Conversion): AsyncGenerator<EntryPiece> {
    this.#records = 0;
    const losses = new LossBook();
    const { form } = this.#to;
    yield* form.head?.(namespaces.map(({ name }) => name)) ?? [];
    for (const namespace of namespaces) {
      const read = this.#read(this.#from.form, this.#archive, namespace.name, losses);
      const encoded = (async function* () {
        for await (const record of read) {
          const bytes = form.encode(namespace.name, record, losses);
          if (bytes) yield bytes;
        }
      })();
      yield* form.pieces(namespace.name, encoded, namespace);
    }
  }

  #manifest(conversion: Conversion, tallies: Readonly<ByStore<Tallies>>): ManifestDraft {
    // Left out is what the new archive has of its own, and what applies to the form in which the data was saved.
    const { format_version, checksum, index, readings, references, ...source } = this.#archive.manifest;
    const { scope, storage_backends, statistics, system_evidence } = source;
    const { from, to, losses } = conversion;
    const counted = profileStatistics(scope.profile ?? '', scope.parameters, { kv: keyTallies(conversion) });
    const names = conversion.namespaces.map(({ name }) => name);
    const namespaces = this.#to.form.namesOf?.(names) ?? names;
    return {
      ...source,
      backup_id: convertedId(source.backup_id, to),
      ngbak_version: VERSION,
      storage_backends: { ...storage_backends, kv: { kind: to } },
      statistics: { ...statistics, ...counted },
      // A restore replaces these namespaces only: the place may hold other data of the system, such as files with vectors.
      scope: {
        ...scope,
        type: 'partial',
        only: { ...scope.only, namespaces },
        scopes: { ...scope.scopes, kv: jsonOf(this.#to.scope) },
      },
      ...(system_evidence
        ? {
            system_evidence: {
              ...system_evidence,
              marks: system_evidence.marks.filter(({ store }) => store !== 'kv'),
            },
          }
        : {}),
      tallies: { ...source.tallies, ...tallies },
      lacks: [
        ...(source.lacks ?? []),
        ...losses.map((loss) => `key-value data, converted from ${from}: ${loss.text} (${loss.count})`),
      ],
      converted: {
        from: { backup_id: source.backup_id, checksum, kv: from },
        to: { kv: to },
        records: Object.fromEntries(conversion.namespaces.map(({ name, records }) => [name, records])),
        lost: Object.fromEntries(losses.map(({ code, count }) => [code, count])),
      },
    };
  }
}

/** Passes pieces on, and shows their content to a check. */
async function* checked(pieces: AsyncIterable<EntryPiece>, check: ContentCheck): AsyncGenerator<EntryPiece> {
  for await (const piece of pieces) {
    const { name, size } = piece;
    const sink = check.open({ name, size, sha256: '', offset: 0, length: 0 });
    const data = (async function* () {
      for await (const chunk of piece.data) {
        await sink?.write(chunk);
        yield chunk;
      }
      await sink?.end();
    })();
    yield { ...piece, data };
  }
}

/** Adds a record, whatever its form. */
function addTo(digest: MultisetDigest, { id, value }: KeyRecord): void {
  digest.add(Buffer.concat([Buffer.from(`${JSON.stringify(id)}:`), value]));
}

/** The numbers of records, as tallies of keys. */
function keyTallies({ namespaces }: Conversion): Tallies {
  return Object.fromEntries(
    namespaces.map(({ name, records, digest }) => [`keys:${name}`, { count: records, digest }]),
  );
}

function convertedId(id: string, to: FormName): string {
  const suffix = `_as_${to}`;
  return `${id.slice(0, ID_CHARACTERS_MAX - suffix.length)}${suffix}`;
}

function jsonOf(value: unknown) {
  return JSON.parse(JSON.stringify(value));
}

function refused(problem: string, remedy: string): InvalidInputError {
  return new InvalidInputError(`The archive can't be converted: ${problem}.`, { remedy });
}
