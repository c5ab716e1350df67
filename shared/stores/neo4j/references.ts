import type { LegContext } from '../leg.ts';
import { quote } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer } from './server.ts';

/** Returns those of the texts that no node, or no relationship, of the scope has in that property. */
export async function missingInGraph(
  server: Neo4jServer,
  scope: ScopeText,
  { thing, field }: { readonly thing: string; readonly field: string },
  values: readonly string[],
  { signal }: LegContext,
): Promise<string[]> {
  const isNode = thing !== 'relationships';
  const value = `${isNode ? 'n' : 'r'}.${quote(field)}`;
  const match = scope.find('n', isNode ? '' : '-[r]->()', `${value} IN $values`);
  // One scan of the label for all values, whether or not the property is indexed.
  const [row] = await server.read(
    'looking for what references lead to',
    `${match} RETURN collect(DISTINCT ${value}) AS found`,
    { ...scope.parameters, values: [...values] },
    signal,
  );
  const found = new Set((row?.found ?? []) as string[]);
  return values.filter((value) => !found.has(value));
}
