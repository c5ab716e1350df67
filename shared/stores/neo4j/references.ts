import type { EntryReader } from '../../archive/format/types.ts';
import type { LegContext } from '../leg.ts';
import { nodeBatches, relationshipBatches, START } from './entries.ts';
import { quote } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';

/**
 * The texts in a property of the archive's nodes or relationships, in batches; each element of a list counts
 * separately.
 */
export async function* graphValues(
  archive: EntryReader,
  thing: string,
  field: string,
): AsyncGenerator<readonly string[]> {
  const batches = thing === 'nodes' ? nodeBatches(archive, START) : relationshipBatches(archive, START);
  for await (const { records } of batches)
    yield records.flatMap(({ properties }) => textsOf(properties[field]));
}

function textsOf(value: unknown): string[] {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.filter((inner) => typeof inner === 'string');
}

/** Returns those of the texts that no node of the scope has in that property. */
export async function missingNodes(
  server: Neo4jServer,
  scope: ScopeText,
  field: string,
  values: readonly string[],
  { signal }: LegContext,
): Promise<string[]> {
  // One scan of the label for all values, whether or not the property is indexed.
  const [row] = await server.read(
    'looking for what references lead to',
    `MATCH ${scope.node('n')} WHERE n.${quote(field)} IN $values RETURN collect(DISTINCT n.${quote(field)}) AS found`,
    { values: [...values] },
    signal,
  );
  const found = new Set((row?.found ?? []) as string[]);
  return values.filter((value) => !found.has(value));
}
