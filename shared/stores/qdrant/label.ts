import { z } from 'zod';
import { parseInput } from '../../core/input.ts';
import { DONE, type LegResult } from '../leg.ts';
import type { LabelLeg } from '../restore-leg.ts';
import type { Route } from '../route.ts';
import type { QdrantClient } from './client.ts';
import { limitsOf, readCollection } from './collections.ts';
import { readCollections } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { collectionPath } from './paths.ts';
import { scroll } from './points.ts';
import { originOf } from './view.ts';

/** Number of points labelled per request. */
const LABEL_POINTS = 1000;

const LabelCursor = z.strictObject({
  collection: z.string(),
  /** JSON text of the ID at which the next page starts; null for the beginning. */
  from: z.string().nullable(),
});

/** The part of a point that a page contains. */
const Labelled = z.object({ payload: z.record(z.string(), z.unknown()).nullish() });

/**
 * Labels the points of collections that were loaded from snapshots, which cannot be modified before they are loaded.
 * Points of other collections were loaded with their labels. A point that already has labels from an earlier restore
 * keeps them, because the data of a backup is not changed. Works page by page, and is idempotent.
 */
export async function labelSnapshots(
  client: QdrantClient,
  { archive, route, cursor, context }: LabelLeg & { readonly route: Route<QdrantScope> },
): Promise<LegResult> {
  const { signal } = context;
  const from =
    cursor === null ? null : parseInput(LabelCursor, cursor, 'The cursor of the labels', 'Restore again.');
  const loaded = (await readCollections(archive)).filter(({ snapshot }) => snapshot !== undefined);
  for (const { name } of loaded) {
    if (from && name < from.collection) continue;
    const state = await readCollection(client, name, signal);
    if (!state) continue;
    const archived = Object.keys(route.names).find((known) => route.names[known] === name) ?? name;
    const origin = originOf(route.origin ?? {}, archived);
    const { read, write } = limitsOf(state.view);
    const pages = scroll(client, name, {
      from: name === from?.collection ? from.from : null,
      fields: Object.keys(origin),
      limit: Math.min(read, write, LABEL_POINTS),
      signal,
    });
    let done = 0;
    for await (const { points, next } of pages) {
      const unlabelled: string[] = [];
      let others = 0;
      for (const { id, canonical } of points) {
        const payload = Labelled.parse(JSON.parse(canonical)).payload ?? {};
        const present = Object.keys(origin).filter((field) => payload[field] !== undefined);
        if (present.length === 0) unlabelled.push(id);
        else if (Object.entries(origin).some(([field, value]) => payload[field] !== value)) others++;
      }
      if (unlabelled.length > 0) {
        const body = `{"payload":${JSON.stringify(origin)},"points":[${unlabelled.join(',')}]}`;
        await client.call('POST', collectionPath(name, '/points/payload?wait=true'), { body, signal });
      }
      if (others > 0) {
        context.warn({
          code: 'origin-labels-kept',
          text: 'Points in these collections have labels of origin from an earlier restore, and keep them: they are part of the data that was backed up.',
          count: others,
          samples: [`"${name}"`],
        });
      }
      done += points.length;
      context.progress(`labelled:${name}`, done);
      if (next !== null && context.timeLeft() <= 0)
        return { cursor: { collection: name, from: next }, tallies: {} };
    }
  }
  return DONE;
}
