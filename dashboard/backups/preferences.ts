import type { CollectionPreferencesProps } from '@cloudscape-design/components/collection-preferences';
import { useState } from 'react';
import { COLUMNS } from './columns.tsx';

const STORAGE_KEY = 'ngbak.backups';
export const PAGE_SIZES = [20, 50, 100];
const PAGE_SIZE = 20;

export interface TablePreferences {
  readonly pageSize: number;
  readonly wrapLines: boolean;
  readonly contentDisplay: readonly CollectionPreferencesProps.ContentDisplayItem[];
}

/** The columns that the user chose and their order, saved in this browser. */
export function useTablePreferences(): [
  TablePreferences,
  (chosen: CollectionPreferencesProps.Preferences) => void,
] {
  const [preferences, setPreferences] = useState(() => parse(localStorage.getItem(STORAGE_KEY)));
  return [
    preferences,
    (chosen) => {
      const text = JSON.stringify(chosen);
      localStorage.setItem(STORAGE_KEY, text);
      setPreferences(parse(text));
    },
  ];
}

/** The saved columns that still exist: columns change between versions. */
function parse(text: string | null): TablePreferences {
  let kept: CollectionPreferencesProps.Preferences = {};
  try {
    kept = JSON.parse(text ?? '{}') as CollectionPreferencesProps.Preferences;
  } catch (error) {
    // Invalid, for example edited by hand: the defaults apply.
    if (!(error instanceof SyntaxError)) throw error;
  }
  const shown = (Array.isArray(kept.contentDisplay) ? kept.contentDisplay : []).filter(({ id }) =>
    COLUMNS.some((column) => column.id === id),
  );
  const missing = COLUMNS.filter(({ id }) => !shown.some((item) => item.id === id)).map(({ id, hidden }) => ({
    id,
    visible: !hidden,
  }));
  return {
    pageSize: PAGE_SIZES.find((size) => size === kept.pageSize) ?? PAGE_SIZE,
    wrapLines: kept.wrapLines ?? false,
    contentDisplay: [...shown, ...missing],
  };
}
