import type { EntryReader } from '../../archive/format/types.ts';
import type { Place, Route, Scratch } from '../route.ts';
import { addressOf, type PostgresConnection } from './connection.ts';
import { drillSchema } from './names.ts';
import type { PostgresScope } from './scope.ts';

/** A drill restores into a schema of its own: definitions name no schema, so nothing else changes. */
export const postgresScratch: Scratch<PostgresScope> = {
  async route(
    _archive: EntryReader,
    saved: PostgresScope | undefined,
    target: PostgresScope,
    id: string,
  ): Promise<Route<PostgresScope>> {
    const schema = drillSchema(id);
    const changes = [`schema "${target.schema}" becomes "${schema}"`];
    // What was saved, whatever the target would restore of it.
    return { saved, scope: { ...(saved ?? target), schema }, names: {}, changes };
  },
  // Tables keep their names.
  question: (question) => question,
};

/** Whether a row could belong to both scopes. */
export function postgresOverlaps(
  one: Place<PostgresConnection, PostgresScope>,
  other: Place<PostgresConnection, PostgresScope>,
): boolean {
  const [left, right] = [addressOf(one.connection), addressOf(other.connection)];
  const isSame = left.host === right.host && left.port === right.port && left.database === right.database;
  if (!isSame || one.scope.schema !== other.scope.schema) return false;
  const [mine, theirs] = [one.scope.workspace, other.scope.workspace];
  if (!mine || !theirs || mine.column !== theirs.column) return true;
  return mine.in.some((value) => theirs.in.includes(value));
}
