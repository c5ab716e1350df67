import { isUtf8 } from 'node:buffer';
import { isSpace } from '../json-bytes.ts';

/** Maximum nesting depth of a value embedded in a JSON entry; Python's parser fails near 1,000. */
export const JSON_DEPTH_MAX = 256;

/**
 * Whether these bytes can be embedded in a JSON document unchanged and extracted exactly: UTF-8, one JSON value (RFC
 * 8259) without surrounding white space, not nested too deeply.
 */
export function isJsonText(bytes: Buffer): boolean {
  if (isSpace(bytes[0]) || isSpace(bytes[bytes.length - 1]) || !isUtf8(bytes)) return false;
  let value: unknown;
  const text = bytes.toString('utf8');
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
  // Each level takes two brackets.
  return text.length <= 2 * JSON_DEPTH_MAX || !isDeeper(value, JSON_DEPTH_MAX);
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  for (const inner of Array.isArray(value) ? value : Object.values(value)) {
    if (isDeeper(inner, levels - 1)) return true;
  }
  return false;
}
