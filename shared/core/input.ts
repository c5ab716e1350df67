import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { type Advice, InvalidInputError } from './errors.ts';

/**
 * Any JSON value, for data that the API returns unchecked. `z.json()` is recursive without a name, so the generator
 * of the OpenAPI document would recurse endlessly; it uses these types instead.
 */
export const AnyJson = z.json().meta({ type: ['object', 'array', 'string', 'number', 'boolean', 'null'] });

/**
 * Parses a value from outside with its schema. Throws InvalidInputError that names `what`, each invalid field and its
 * allowed values. The values received are not repeated, because they could be secrets.
 */
export function parseInput<T>(
  schema: z.ZodType<T>,
  value: unknown,
  what: string,
  advice?: string | Advice,
): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues
    .slice(0, 10)
    .map((issue) => `${issue.path.length > 0 ? issue.path.join('.') : 'value'}: ${issue.message}`);
  throw new InvalidInputError(`${what} is not valid: ${problems.join('; ')}.`, {
    ...adviceOf(advice, 'Correct the fields named above and try again.'),
  });
}

/** Parses JSON text with its schema. Throws InvalidInputError if it is not JSON or has another shape. */
export function parseJson<T>(schema: z.ZodType<T>, text: string, what: string, advice?: string | Advice): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InvalidInputError(`${what} is not JSON.`, {
      ...adviceOf(advice, 'Write it as one JSON value in UTF-8.'),
      cause: cause instanceof SyntaxError ? undefined : cause,
    });
  }
  return parseInput(schema, value, what, advice);
}

function adviceOf(advice: string | Advice | undefined, otherwise: string): Advice {
  return typeof advice === 'object' ? advice : { remedy: advice ?? otherwise };
}

/**
 * Whether two values are equal as JSON: a member that is undefined equals an absent one, and order matters in lists
 * only.
 */
export function isSameJson(one: object, other: object): boolean {
  const asJson = (value: object): unknown => JSON.parse(JSON.stringify(value));
  return isDeepStrictEqual(asJson(one), asJson(other));
}
