import type { EntryReader } from '../../archive/format/types.ts';
import { findTarget } from '../../core/config.ts';
import type { Json } from '../../core/json.ts';
import { readRunningConfiguration } from '../../profiles/running-configuration.ts';
import { ENTRY, maskedConfiguration } from '../../stores/config/adapter.ts';
import { compareConfigurations } from '../../stores/config/compare.ts';
import { maskSecrets } from '../../stores/config/mask.ts';
import type { LegContext } from '../../stores/leg.ts';
import type { Environment } from '../environment.ts';
import type { Inspection } from './inspection.ts';

/** Larger configurations are not compared. */
const ENTRY_BYTES_MAX = 1024 ** 2;

/**
 * Differences between the saved configuration and the target's current one, which is read again. Undefined if there are
 * none, or if the archive has no readable configuration. Informational: configuration is never loaded, and never a
 * reason to refuse a restore.
 */
export async function compareConfiguration(
  { config }: Environment,
  target: string,
  archive: EntryReader,
  context: LegContext,
): Promise<Inspection['configuration']> {
  const entry = await archive.find(ENTRY);
  if (!entry || entry.size > ENTRY_BYTES_MAX) return undefined;
  const parts: Uint8Array[] = [];
  for await (const chunk of archive.open(entry)) parts.push(Buffer.from(chunk));
  let saved: Json;
  try {
    saved = JSON.parse(Buffer.concat(parts).toString('utf8')) as Json;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  const running = await readRunningConfiguration(config, target, context, { isNeeded: () => false });
  const now = maskedConfiguration({ target, effective: findTarget(config, target), running });
  // Archives of other writers may mask fewer secrets.
  const compared = compareConfigurations(maskSecrets(saved), now);
  return compared.total === 0 ? undefined : compared;
}
