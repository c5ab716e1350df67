import type { ComparedStore } from './result.ts';

/** Whether a comparison found that nothing differs, by content. */
export function isSame({ kinds, not_compared }: ComparedStore): boolean {
  return (
    not_compared === undefined &&
    kinds.every(
      ({ added, changed, removed, limited }) =>
        limited === undefined && added.count + changed.count + removed.count === 0,
    )
  );
}
