import { parse, YAMLError } from 'yaml';
import type { Json } from '../core/json.ts';

/**
 * Maximum number of aliases that a YAML document may resolve: enough for anchors in settings, too few for an alias
 * bomb.
 */
const YAML_ALIASES_MAX = 100;

/**
 * Parses settings into a structure whose names reveal which values are secrets. The file extension determines the
 * format: JSON, YAML, INI or `NAME=value` lines. Without a known extension, each format is tried. Undefined if the text
 * has none of these formats.
 */
export function parseSettings(name: string, text: string): Json | undefined {
  const ending = /(?:^|[./:])(json|ya?ml|ini|cfg|toml|env)$/i.exec(name)?.[1]?.toLowerCase();
  if (ending === 'env') return parseLines(text);
  if (ending === 'ini' || ending === 'cfg' || ending === 'toml') return parseLines(text);
  if (ending === 'json') return parseJsonText(text);
  if (ending !== undefined) return parseYamlText(text);
  return parseJsonText(text) ?? parseLines(text) ?? parseYamlText(text);
}

function parseJsonText(text: string): Json | undefined {
  try {
    return structureOf(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function parseYamlText(text: string): Json | undefined {
  try {
    const value: unknown = parse(text, { maxAliasCount: YAML_ALIASES_MAX, logLevel: 'error' });
    // Dates and large numbers become text, which is what readers compare.
    return structureOf(JSON.parse(JSON.stringify(value ?? null)));
  } catch (error) {
    // The library throws ReferenceError for too many aliases.
    if (error instanceof YAMLError || error instanceof ReferenceError || error instanceof TypeError)
      return undefined;
    throw error;
  }
}

/** Accepts only objects and lists: a single value has no name that would show whether it is a secret. */
function structureOf(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null ? (value as Json) : undefined;
}

/** Parses `NAME=value` lines, with `[sections]` and comments; undefined if any other line occurs. */
function parseLines(text: string): Json | undefined {
  const settings: { [name: string]: Json } = Object.create(null);
  let section = settings;
  for (const line of text.split(/\r?\n/)) {
    const trimmed = line.trim();
    if (trimmed === '' || /^[#;]/.test(trimmed)) continue;
    const header = /^\[([^\]]+)\]$/.exec(trimmed)?.[1];
    if (header !== undefined) {
      section = Object.create(null);
      settings[header] = section;
      continue;
    }
    const [, name, value = ''] = /^(?:export\s+)?([A-Za-z_][\w.-]*)\s*=\s*(.*)$/.exec(trimmed) ?? [];
    if (name === undefined) return undefined;
    section[name] = unquoted(value);
  }
  return Object.keys(settings).length === 0 ? undefined : (JSON.parse(JSON.stringify(settings)) as Json);
}

function unquoted(value: string): string {
  const quoted = /^(["'])(.*)\1(?:\s+#.*)?$/.exec(value);
  return quoted?.[2] ?? value.replace(/\s+#.*$/, '');
}
