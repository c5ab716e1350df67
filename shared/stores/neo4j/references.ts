import type { LegContext } from '../leg.ts';
import { quote } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';

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
