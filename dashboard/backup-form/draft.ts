import type { z } from 'zod';
import type { StartBackupInput } from '../../shared/operations/start-backup.ts';
import type { BackupSummary } from '../../shared/operations/summaries.ts';

export const SAVED_STORES = ['graph', 'vectors', 'kv', 'config'] as const;
export type SavedStore = (typeof SAVED_STORES)[number];

/** What is asked for in the form, as text where the user types text. */
export interface BackupDraft {
  readonly target: string;
  /** Empty: all. */
  readonly stores: readonly SavedStore[];
  readonly tags: string;
  readonly note: string;
  readonly keep: 'policy' | 'days' | 'date' | 'permanent';
  readonly days: string;
  readonly date: string;
}

export const EMPTY_DRAFT: BackupDraft = {
  target: '',
  stores: [],
  tags: '',
  note: '',
  keep: 'policy',
  days: '30',
  date: '',
};

export type BackupInput = z.input<typeof StartBackupInput>;

/** Tags as they were typed: separated by commas. */
export function tagsOf(text: string): string[] {
  const words = text.split(',').map((word) => word.trim());
  return [...new Set(words.filter((word) => word !== ''))];
}

/** What is wrong with a draft, by field; the API checks it again. */
export function problemsOf({
  tags,
  note,
  keep,
  days,
  date,
}: BackupDraft): Partial<Record<'tags' | 'note' | 'keep', string>> {
  const list = tagsOf(tags);
  const until = Date.parse(date);
  return {
    ...(list.length > 50 || list.some((tag) => tag.length > 128)
      ? { tags: 'At most 50 tags of at most 128 characters.' }
      : {}),
    ...(note.length > 1000 ? { note: 'At most 1,000 characters.' } : {}),
    ...(keep === 'days' && !/^[1-9][0-9]{0,4}$/.test(days)
      ? { keep: 'Write a whole number of days, such as 30.' }
      : {}),
    ...(keep === 'date' && !(until > Date.now()) ? { keep: 'Choose a day that is still to come.' } : {}),
  };
}

/** The request that a draft stands for. */
export function inputOf({ target, stores, tags, note, keep, days, date }: BackupDraft): BackupInput {
  const retention = { policy: undefined, days: `${days}d`, date, permanent: 'permanent' as const }[keep];
  return {
    ...(target === '' ? {} : { target }),
    ...(stores.length === 0 ? {} : { stores: [...stores] }),
    ...(tagsOf(tags).length === 0 ? {} : { tags: tagsOf(tags) }),
    ...(note.trim() === '' ? {} : { note: note.trim() }),
    ...(retention === undefined ? {} : { retention }),
  };
}

/** The draft that stands for a request: what a schedule has, to be changed. */
export function draftOf({
  target = '',
  stores = [],
  tags = [],
  note = '',
  retention,
}: BackupInput): BackupDraft {
  const days = /^(\d+)d$/.exec(retention ?? '')?.[1];
  const keep =
    retention === undefined ? 'policy' : retention === 'permanent' ? 'permanent' : days ? 'days' : 'date';
  return {
    target,
    stores,
    tags: tags.join(', '),
    note,
    keep,
    days: days ?? EMPTY_DRAFT.days,
    date: keep === 'date' ? (retention ?? '') : '',
  };
}

/** The newest backup of the same scope: what the next one will be like. Configuration is in every backup. */
export function lastOfScope(
  backups: readonly BackupSummary[],
  target: string,
  stores: readonly SavedStore[],
  all: readonly SavedStore[],
): BackupSummary | undefined {
  const scope = (names: readonly string[]) =>
    [...new Set(names)]
      .filter((name) => name !== 'config')
      .sort()
      .join();
  const wanted = scope(stores.length === 0 ? all : stores);
  return backups.find((backup) => backup.target === target && scope(backup.stores) === wanted);
}
