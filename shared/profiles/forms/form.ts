import type { EntryPiece, EntryReader } from '../../archive/format/types.ts';
import type { TableDefinition } from '../../stores/postgres/definition.ts';
import type { Movable } from '../profile.ts';
import type { LossBook } from './losses.ts';

/** The forms into which key-value data can be converted, named like the adapters of their stores. */
export const FORMS = ['files', 'redis', 'postgres'] as const;
export type FormName = (typeof FORMS)[number];

/** Remedy for a scope that is not of this kind of store. */
export const FOREIGN_SCOPE = 'Use an archive that ngbak created from a store of this kind.';

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
  /** The entries before those of all namespaces. */
  head?(namespaces: readonly string[]): Iterable<EntryPiece>;
  /** The names of these namespaces in a subset. If omitted: their own names. */
  namesOf?(namespaces: readonly string[]): string[];
  /** A record as this form writes it; undefined if it can't, which is counted. */
  encode(namespace: string, record: KeyRecord, losses: LossBook): Buffer | undefined;
  /** The record that a reader of this form finds in what `encode` returned. If omitted: the same record. */
  decode?(namespace: string, bytes: Buffer): KeyRecord;
  /** The entries of a namespace. `extent` is that of the records. */
  pieces(namespace: string, records: AsyncIterable<Buffer>, extent: Extent): AsyncIterable<EntryPiece>;
}

/** What a form is opened with. */
export interface FormPlace {
  readonly movable: Movable;
  /** The scope that the archive states, or that the profile derives. Not validated. */
  readonly scope: unknown;
  /** The scope that the profile derives. Not validated. */
  readonly derivedScope: unknown;
  /** The tables of the place, if the form has tables and is written. */
  readonly tables?: readonly TableDefinition[];
  /** The time by which keys have expired, in ms since 1970. */
  readonly now: number;
}
