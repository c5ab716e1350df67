import type { EntryPiece, EntryReader } from '../../archive/format/types.ts';
import type { Movable } from '../profile.ts';
import type { LossBook } from './losses.ts';

/** The forms of key-value data, named like the adapters of their stores. */
export const FORMS = ['files', 'redis'] as const;
export type FormName = (typeof FORMS)[number];

/** One value of key-value data, in no form. */
export interface KeyRecord {
  readonly id: string;
  /** The text of the JSON, byte for byte. */
  readonly value: Buffer;
}

/** The data of one namespace. */
export interface Extent {
  readonly records: number;
  /** Bytes of all records as the form writes them. */
  readonly bytes: number;
}

/** Key-value data of one archive in one form. */
export interface Form {
  /**
   * The records of a namespace, in the order of the archive, and what cannot be read as such. Throws InvalidInputError
   * if the archive is not in this form.
   */
  read(archive: EntryReader, namespace: string, losses: LossBook): AsyncIterable<KeyRecord>;
  /** Counts what belongs to no namespace. */
  readOthers(archive: EntryReader, losses: LossBook): Promise<void>;
  /** A record as this form writes it; undefined if it can't, which is counted. */
  encode(namespace: string, record: KeyRecord, losses: LossBook): Buffer | undefined;
  /** The entries of a namespace. `extent` is that of the records. */
  pieces(namespace: string, records: AsyncIterable<Buffer>, extent: Extent): AsyncIterable<EntryPiece>;
}

/** What a form is opened with. */
export interface FormPlace {
  readonly movable: Movable;
  /** The scope that the archive states, or that the profile derives. Not validated. */
  readonly scope: unknown;
  /** The time by which keys have expired, in ms since 1970. */
  readonly now: number;
}
