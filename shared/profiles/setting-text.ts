import { parse, YAMLError } from 'yaml';
import type { Json } from '../core/json.ts';

/** Aliases that a YAML document may resolve: enough for anchors of settings, too few for a bomb. */
const YAML_ALIASES_MAX = 100;

/**
 * Settings in a text, as a structure whose names show what is a secret. The ending of the name decides how it is read: JSON,
 * YAML, INI or `NAME=value` lines; without a known ending, whichever it is. Undefined if it is none of these.
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
    // Dates and large numbers as text, which is what a reader compares.
    return structureOf(JSON.parse(JSON.stringify(value ?? null)));
  } catch (error) {
    // The library throws ReferenceError for too many aliases.
    if (error instanceof YAMLError || error instanceof ReferenceError || error instanceof TypeError)
      return undefined;
    throw error;
  }
}

/** Only objects and lists: a single value has no name that would show whether it is a secret. */
function structureOf(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null ? (value as Json) : undefined;
}

/** `NAME=value` lines, with `[sections]` and comments; undefined where a line is none of these. */
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
