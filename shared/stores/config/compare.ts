import { z } from 'zod';
import type { Json } from '../../core/json.ts';

/** Maximum number of differences to keep, and of characters per value. */
const DIFFERENCES_MAX = 50;
const VALUE_CHARACTERS_MAX = 200;
/** Maximum number of settings to compare, which also bounds the traversal of an archive's configuration. */
const SETTINGS_MAX = 20_000;

/** A setting that differs between an archive and a target; a side without the setting is absent. Secrets are masked. */
export const SettingDifference = z.object({
  setting: z.string(),
  archive: z.string().optional(),
  target: z.string().optional(),
});
export type SettingDifference = z.infer<typeof SettingDifference>;

/**
 * Members of the configuration entry that describe how the system works. Names of secrets and stores only say where it
 * runs.
 */
const COMPARED = [
  ['effective', 'profile'],
  ['effective', 'parameters'],
  ['effective', 'system_version'],
  ['effective', 'configuration'],
  ['running'],
] as const;

/**
 * Compares the configuration of an archive with that of a target. Returns at most 50 settings, and the total number.
 */
export function compareConfigurations(
  archive: Json,
  target: Json,
): { differences: SettingDifference[]; total: number } {
  const [saved, now] = [settingsOf(archive), settingsOf(target)];
  const differences: SettingDifference[] = [];
  let total = 0;
  for (const setting of [...new Set([...saved.keys(), ...now.keys()])].sort()) {
    const [left, right] = [saved.get(setting), now.get(setting)];
    if (left === right) continue;
    total++;
    if (differences.length >= DIFFERENCES_MAX) continue;
    differences.push({
      setting: cut(setting),
      ...(left === undefined ? {} : { archive: cut(left) }),
      ...(right === undefined ? {} : { target: cut(right) }),
    });
  }
  return { differences, total };
}

/** Single values by path, such as `running settings.yaml models.chat.model`. */
function settingsOf(configuration: Json): Map<string, string> {
  const settings = new Map<string, string>();
  const walk = (value: Json, path: string): void => {
    if (settings.size >= SETTINGS_MAX) return;
    if (value === null || typeof value !== 'object') {
      settings.set(path, JSON.stringify(value));
      return;
    }
    for (const [name, inner] of Object.entries(value)) walk(inner, path === '' ? name : `${path}.${name}`);
  };
  for (const names of COMPARED) {
    let value: Json | undefined = configuration;
    for (const name of names) value = memberOf(value, name);
    if (value !== undefined && value !== null) walk(value, names.at(-1) ?? '');
  }
  return settings;
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function cut(text: string): string {
  const plain = text.replaceAll(/[\p{C}\u2028\u2029]/gu, '\ufffd');
  return plain.length <= VALUE_CHARACTERS_MAX ? plain : `${plain.slice(0, VALUE_CHARACTERS_MAX)}…`;
}
