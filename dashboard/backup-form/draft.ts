import type { z } from 'zod';
import type { BackupSummary } from '../../shared/catalog/summaries.ts';
import type { StoreName } from '../../shared/core/store-names.ts';
import type { StartBackupInput } from '../../shared/operations/start-backup.ts';

/** The contents of the form, as text if the user types text. */
export interface BackupDraft {
  readonly target: string;
  /** Empty: all. */
  readonly stores: readonly StoreName[];
  /** A subset of the stores; none if all of these are empty. Lists are separated by commas. */
  readonly label: string;
  readonly collections: string;
  readonly namespaces: string;
  readonly keyPrefixes: string;
  readonly tags: string;
  readonly note: string;
  readonly keep: 'policy' | 'days' | 'date' | 'permanent';
  readonly days: string;
  readonly date: string;
  /** Whether stores are read that provably did not change. */
  readonly full: boolean;
}

export const EMPTY_DRAFT: BackupDraft = {
  target: '',
  stores: [],
  label: '',
  collections: '',
  namespaces: '',
  keyPrefixes: '',
  tags: '',
  note: '',
  keep: 'policy',
  days: '30',
  date: '',
  full: false,
};

export type BackupInput = z.input<typeof StartBackupInput>;

/** The words of a text field, separated by commas. */
function wordsOf(text: string): string[] {
  const words = text.split(',').map((word) => word.trim());
  return [...new Set(words.filter((word) => word !== ''))];
}

/** The errors of a draft, by field; the API validates it again. */
export function problemsOf({
  tags,
  note,
  keep,
  days,
  date,
}: BackupDraft): Partial<Record<'tags' | 'note' | 'keep', string>> {
  const list = wordsOf(tags);
  const until = Date.parse(date);
  return {
    ...(list.length > 50 || list.some((tag) => tag.length > 128)
      ? { tags: 'At most 50 tags of at most 128 characters.' }
      : {}),
    ...(note.length > 1000 ? { note: 'At most 1,000 characters.' } : {}),
    ...(keep === 'days' && !/^[1-9][0-9]{0,4}$/.test(days)
      ? { keep: 'Enter a whole number of days, for example 30.' }
      : {}),
    ...(keep === 'date' && !(until > Date.now()) ? { keep: 'Choose a date in the future.' } : {}),
  };
}

/** The subset in a draft; undefined if it selects none. */
export function partOf({ label, collections, namespaces, keyPrefixes }: BackupDraft): BackupInput['only'] {
  const lists = {
    collections: wordsOf(collections),
    namespaces: wordsOf(namespaces),
    key_prefixes: wordsOf(keyPrefixes),
  };
  const named = Object.fromEntries(Object.entries(lists).filter(([, words]) => words.length > 0));
  const part = { ...(label.trim() === '' ? {} : { label: label.trim() }), ...named };
  return Object.keys(part).length === 0 ? undefined : part;
}

/** The request for a draft. */
export function inputOf(draft: BackupDraft): BackupInput {
  const { target, stores, tags, note, keep, days, date, full } = draft;
  const only = partOf(draft);
  const retention = { policy: undefined, days: `${days}d`, date, permanent: 'permanent' as const }[keep];
  return {
    ...(target === '' ? {} : { target }),
    ...(stores.length === 0 ? {} : { stores: [...stores] }),
    ...(only === undefined ? {} : { only }),
    ...(wordsOf(tags).length === 0 ? {} : { tags: wordsOf(tags) }),
    ...(note.trim() === '' ? {} : { note: note.trim() }),
    ...(retention === undefined ? {} : { retention }),
    ...(full ? { full } : {}),
  };
}

/** The draft for an existing request, for example to edit a schedule. */
export function draftOf({
  target = '',
  stores = [],
  only = {},
  tags = [],
  note = '',
  retention,
  full = false,
}: BackupInput): BackupDraft {
  const days = /^(\d+)d$/.exec(retention ?? '')?.[1];
  const keep =
    retention === undefined ? 'policy' : retention === 'permanent' ? 'permanent' : days ? 'days' : 'date';
  return {
    target,
    stores,
    label: only.label ?? '',
    collections: (only.collections ?? []).join(', '),
    namespaces: (only.namespaces ?? []).join(', '),
    keyPrefixes: (only.key_prefixes ?? []).join(', '),
    tags: tags.join(', '),
    note,
    keep,
    days: days ?? EMPTY_DRAFT.days,
    date: keep === 'date' ? (retention ?? '') : '',
    full,
  };
}

/** The newest backup of the same scope, for an estimate of the next one. Configuration is in every backup. */
export function lastOfScope(
  backups: readonly BackupSummary[],
  draft: BackupDraft,
  all: readonly StoreName[],
): BackupSummary | undefined {
  const scope = (names: readonly string[]) =>
    [...new Set(names)]
      .filter((name) => name !== 'config')
      .sort()
      .join();
  const part = partOf(draft);
  // Without chosen stores, a subset implies them.
  const wanted = draft.stores.length > 0 ? draft.stores : part ? undefined : all;
  return backups.find(
    ({ target, stores, only }) =>
      target === draft.target &&
      sameWords(part, only) &&
      (wanted === undefined || scope(stores) === scope(wanted)),
  );
}

/** Whether two subsets have the same names, regardless of order. */
function sameWords(one: BackupInput['only'], other: BackupInput['only']): boolean {
  const text = (part: BackupInput['only']) =>
    JSON.stringify([
      part?.label,
      ...[part?.collections, part?.namespaces, part?.key_prefixes].map((words) => words?.toSorted()),
    ]);
  return text(one) === text(other);
}
