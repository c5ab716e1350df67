import type { Inspection } from '../../../shared/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/restore/request.ts';

/** The names of one store's tallies after a prefix: `points:chunks` → `chunks`. */
export function namesIn(inspection: Inspection, store: string, prefix: string): string[] {
  const found = inspection.stores.find((one) => one.store === store);
  return Object.keys(found?.archive ?? {})
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length));
}

/** Words of one text field: separated by commas or lines, without spaces around them. */
export function words(text: string): string[] {
  return text
    .split(/[,\n]/)
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

/** What is left out when it says nothing, since the API refuses empty lists and objects. */
export function withoutEmpty<T extends Record<string, unknown>>(fields: T): Partial<T> | undefined {
  const said = Object.entries(fields).filter(([, value]) =>
    Array.isArray(value) ? value.length > 0 : value !== undefined && value !== '',
  );
  return said.length === 0 ? undefined : (Object.fromEntries(said) as Partial<T>);
}

/** Options as the API takes them: without `dry_run`, which the wizard has no use for. */
export type ChosenOptions = Omit<RestoreOptions, 'dry_run'>;
