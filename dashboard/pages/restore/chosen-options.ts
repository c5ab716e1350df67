import { thingsAmong } from '../../../shared/stores/known-facts.ts';
import type { Inspection } from '../../../shared/workflows/restore/inspection.ts';

/** The names in the archive of one store among which a subset can choose: `points:chunks` → `chunks`. */
export function namesIn(
  inspection: Inspection,
  store: string,
  field: 'collections' | 'namespaces',
): string[] {
  const found = inspection.stores.find((one) => one.store === store);
  return thingsAmong(Object.keys(found?.archive ?? {}), field);
}

/** Words of one text field: separated by commas or lines, without spaces around them. */
export function words(text: string): string[] {
  return text
    .split(/[,\n]/)
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

/** Lines such as `old = new` as an object; undefined where a line has no `=`, or nothing on one side of it. */
export function pairs(text: string): Record<string, string> | undefined {
  const found: [string, string][] = [];
  for (const line of text.split('\n').filter((one) => one.trim() !== '')) {
    const at = line.indexOf('=');
    const [before, after] = [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    if (at < 0 || before === '' || after === '') return undefined;
    found.push([before, after]);
  }
  return Object.fromEntries(found);
}

/** The lines of {@link pairs}. Values that are no text are left to the API and the CLI. */
export function linesOf(values: Readonly<Record<string, unknown>> = {}): string {
  return Object.entries(values)
    .map(([before, after]) => `${before} = ${typeof after === 'string' ? after : JSON.stringify(after)}`)
    .join('\n');
}

/** What is left out when it says nothing, since the API refuses empty lists and objects. */
export function withoutEmpty<T extends Record<string, unknown>>(fields: T): Partial<T> | undefined {
  const changed = Object.entries(fields).filter(([, value]) =>
    typeof value === 'object' && value !== null
      ? Object.keys(value).length > 0
      : value !== undefined && value !== '',
  );
  return changed.length === 0 ? undefined : (Object.fromEntries(changed) as Partial<T>);
}
