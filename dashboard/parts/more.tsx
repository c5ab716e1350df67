import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import type { ReactNode } from 'react';

/** Entries of a list that are shown at first, and the number that is added each time; the API returns at most 500. */
const STEP = 50;
const MOST = 500;

/** The number of entries that a list shows, from its address: `?limit=100`. */
export function limitOf(query: URLSearchParams): number {
  return Math.min(MOST, Math.max(STEP, Number(query.get('limit')) || STEP));
}

/** The footer of a list of which `shown` of `total` entries are shown: a button for more; undefined without more. */
export function moreFooter({
  limit,
  shown,
  total,
  show,
}: {
  limit: number;
  shown: number;
  total: number;
  show: (limit: number) => void;
}): ReactNode {
  if (total <= shown || limit >= MOST) return undefined;
  return (
    <Box textAlign="center">
      <Button onClick={() => show(Math.min(MOST, limit + STEP))}>Show more</Button>
    </Box>
  );
}
