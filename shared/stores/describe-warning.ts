import type { StoreWarning } from './warning.ts';

/** Formats a warning as one line, with its count and samples. */
export function warningText({ text, count, samples = [] }: StoreWarning): string {
  const more = count !== undefined && count > samples.length ? ', …' : '';
  const names = samples.length > 0 ? `: ${samples.join(', ')}${more}` : '';
  return count === undefined && names === '' ? text : `${text} (${count ?? samples.length}${names})`;
}
