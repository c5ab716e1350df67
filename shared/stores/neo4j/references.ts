import { PAIR_SEPARATOR, pairText } from '../content-check.ts';
import type { LegContext } from '../leg.ts';
import { keyOfEnds } from './lines.ts';
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
  const key = keyOfEnds(field);
  if (key !== undefined) return missingPairs(server, scope, key, values, signal);
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

/** Returns those of the pairs of keys between which no relationship of the scope exists, in either direction. */
async function missingPairs(
  server: Neo4jServer,
  scope: ScopeText,
  key: string,
  values: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const [start, end] = [`n.${quote(key)}`, `m.${quote(key)}`];
  const texts = `[toString(${start}) + $between + toString(${end}), toString(${end}) + $between + toString(${start})]`;
  const match = scope.find('n', '-[r]->(m)', `any(text IN ${texts} WHERE text IN $values)`);
  const [row] = await server.read(
    'looking for what references lead to',
    `${match} RETURN collect(DISTINCT [${start}, ${end}]) AS found`,
    { ...scope.parameters, values: [...values], between: PAIR_SEPARATOR },
    signal,
  );
  const found = new Set(
    ((row?.found ?? []) as [string, string][]).map(([one, other]) => pairText(one, other)),
  );
  return values.filter((value) => !found.has(value));
}
