import { z } from 'zod';
import { InvalidInputError } from '../../core/errors.ts';
import { summarizeAnswer } from '../answer.ts';
import type { LegContext } from '../leg.ts';
import { listTables, readDefinitions, rowsOf } from './catalog.ts';
import { quoteName, quoteText } from './names.ts';
import { SNAPSHOT } from './probe.ts';
import { Name } from './scope.ts';
import type { PostgresSite } from './site.ts';

/**
 * Rows of a table of the scope that have these values, as their texts: `{"table": "docs", "where": {"id": "doc-1"}}`. The
 * workspace is that of the scope. `{"any": true}` reads any row.
 */
export const TablesQuestion = z.union([
  z.strictObject({ any: z.literal(true) }),
  z.strictObject({ table: Name, where: z.record(Name, z.string().max(2048)) }),
]);

/** The default smoke check: whether any row can be read. */
export function tablesQuestions(): unknown[] {
  return [{ any: true }];
}

/** Counts the rows in a transaction that can only read. */
export async function queryTables(
  { client, scope }: PostgresSite,
  given: unknown,
  { signal }: LegContext,
): Promise<string> {
  client.obey(signal);
  const question = TablesQuestion.parse(given);
  return client.transaction(SNAPSHOT, async () => {
    const { tables } = await listTables(client, scope);
    if ('any' in question) {
      for (const { name } of tables) {
        const [row] = await client.rows(`SELECT 1 FROM ${rowsOf(scope, name)} LIMIT 1`);
        if (row) return 'row found';
      }
      return 'no row found';
    }
    const definitions = await readDefinitions(client, scope, tables);
    const table = definitions.find(({ name }) => name === question.table);
    if (!table) throw outside(`table "${question.table}"`);
    const conditions = Object.entries(question.where).map(([name, value]) => {
      const column = table.columns.find((one) => one.name === name);
      if (!column) throw outside(`column "${name}" of table "${question.table}"`);
      return `${quoteName(name)} = CAST(${quoteText(value)} AS ${column.type})`;
    });
    const condition = conditions.length === 0 ? undefined : conditions.join(' AND ');
    const rows = rowsOf(scope, table.name, condition);
    const [counted] = await client.rows<{ count: string }>(`SELECT count(*)::text AS count FROM ${rows}`);
    return summarizeAnswer(Number(counted?.count ?? 0));
  });
}

function outside(what: string): InvalidInputError {
  return new InvalidInputError(`A smoke check names the ${what}, which is not part of the scope.`, {
    remedy: 'Correct "smoke" in cdk.json, and deploy.',
  });
}
