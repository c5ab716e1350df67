/**
 * Parts of table definitions that PostgreSQL prints as text: default values, checks, generated values, indexes. An
 * archive may be hostile, and a restore executes them with the rights of its role. So only known words are accepted,
 * when saving as well as when restoring.
 */

/** Functions, types and keywords that may precede a parenthesis. */
const CALLED = new Set(
  `and or not in any all array is as on between like when then else case row check key unique include using with where primary distinct is
  desc asc
  btree hash gin gist brin spgist hnsw ivfflat vchordrq diskann bloom
  numeric decimal varchar varying char character bpchar bit time timestamp interval vector halfvec sparsevec
  coalesce nullif greatest least now current_timestamp localtimestamp transaction_timestamp statement_timestamp
  clock_timestamp timezone date_trunc date_part extract to_timestamp make_date age
  gen_random_uuid uuidv4 uuidv7 uuid_generate_v4 random
  lower upper btrim ltrim rtrim trim length char_length character_length octet_length bit_length
  substr substring left right replace concat concat_ws split_part strpos position md5 sha256 encode decode
  abs ceil ceiling floor round trunc mod power sqrt sign
  to_tsvector setweight to_char to_json to_jsonb jsonb_typeof json_typeof jsonb_array_length json_array_length
  jsonb_build_object jsonb_build_array jsonb_extract_path_text jsonb_extract_path json_extract_path_text
  array_length cardinality array_position array_to_string string_to_array array_append
  binary_quantize subvector l2_norm l2_normalize vector_dims vector_norm
  num_nonnulls num_nulls starts_with unaccent similarity`
    .trim()
    .split(/\s+/),
);
/** Words that no such text needs, even without a parenthesis. */
const FORBIDDEN =
  /^(select|insert|update|delete|from|into|execute|do|copy|drop|alter|create|grant|revoke|set|returning|period|overlaps|exclude|tablespace)$/;
const TOKEN =
  /\s+|E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"\0]|"")+"|\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+|[a-z_\u0080-\uffff][\w$\u0080-\uffff]*|::|[-+*/<>=~!@#%^&|?]+|[()[\],:]/giy;
const LENGTH_MAX = 100_000;

/** Why such a text is not accepted; undefined if it is. The reason names a word of the text, never a value. */
export function unsafeText(text: string): string | undefined {
  if (text.length > LENGTH_MAX) return `is longer than ${LENGTH_MAX} characters`;
  let depth = 0;
  let previous = '';
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const [token = ''] = TOKEN.exec(text) ?? [];
    if (token === '')
      return `contains ${JSON.stringify([...text.slice(at)][0] ?? '')}, which is not supported`;
    at += token.length;
    if (/^\s/.test(token)) continue;
    if (token.includes('--') || token.includes('/*')) return 'contains a comment';
    const word = token.toLowerCase();
    if (FORBIDDEN.test(word)) return `contains "${word}", which is not supported`;
    if (token === '(') {
      const name = wordOf(previous);
      if (name !== undefined && !CALLED.has(name)) return `calls "${name}", which is not a known function`;
      depth++;
    } else if (token === ')') {
      if (--depth < 0) return 'has a parenthesis too many';
    } else if (token === ',' && depth === 0) return 'is more than one text';
    previous = token;
  }
  return depth === 0 ? undefined : 'lacks a parenthesis';
}

/** The name that a token is, in the spelling of the catalog. */
function wordOf(token: string): string | undefined {
  if (token.startsWith('"')) return token.slice(1, -1);
  return /^[a-z_\u0080-\uffff]/i.test(token) && !token.startsWith("E'") ? token.toLowerCase() : undefined;
}

/** A type as PostgreSQL prints it: `character varying(255)`, `timestamp(0) without time zone`, `vector(8)`, `text[]`. */
export const TYPE_TEXT =
  /^(?:"(?:[^"\0]|"")+"|[a-z_][a-z0-9_]*)(?: [a-z]+)*(?:\(-?\d+(?:,-?\d+)?\))?(?: [a-z]+)*(?:\[\])*$/;
