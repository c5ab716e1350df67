import { findTarget, type NgbakConfig } from '../core/config.ts';
import { NgbakError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import { maskSecrets } from '../stores/config/mask.ts';
import type { LegContext } from '../stores/leg.ts';
import type { Store } from '../stores/store.ts';
import { withStore } from './open.ts';
import { findProfile } from './profiles.ts';
import { parseSettings } from './setting-text.ts';

/** Most bytes of one source, and of all that is kept of them. */
const SOURCE_BYTES_MAX = 64 * 1024;
const ALL_BYTES_MAX = 256 * 1024;

/** Settings of a running system, masked, by the name of what they were read from. */
export type RunningConfiguration = Record<string, Json>;

/**
 * Reads the configuration that the target's system runs with: the files that its profile knows, where they exist, and what
 * `configuration_from` names, from files and keys of its key-value store. Secrets are masked. What cannot be read is a
 * warning: a backup of the data does not fail because of it.
 *
 * @param options.isNeeded  whether the job needs the store in any case, so that it fails if the store cannot be reached
 */
export async function readRunningConfiguration(
  config: NgbakConfig,
  targetName: string,
  context: LegContext,
  { open = withStore, isNeeded }: { open?: typeof withStore; isNeeded: boolean },
): Promise<RunningConfiguration> {
  const target = findTarget(config, targetName);
  const { kv } = target.stores;
  const named = target.configuration_from ?? [];
  const known = kv?.kind === 'files' ? (findProfile(target.profile).configurationFiles ?? []) : [];
  const sources = [...new Set([...named, ...known])];
  if (!kv || sources.length === 0) return {};
  const leaveOutAll = (error: unknown): RunningConfiguration => {
    if (isNeeded || !(error instanceof NgbakError)) throw error;
    context.warn({
      code: 'configuration-left-out',
      text: `The configuration of the running system cannot be read: ${error.message}`,
      count: sources.length,
      samples: sources,
    });
    return {};
  };
  const readAll = async (store: Store): Promise<RunningConfiguration> => {
    const read: Record<string, Json> = {};
    let bytes = 0;
    for (const name of sources) {
      const leaveOut = (text: string) =>
        context.warn({ code: 'configuration-left-out', text, count: 1, samples: [name] });
      let found: string | Readonly<Record<string, string>> | undefined;
      try {
        found = await store.setting?.(name, SOURCE_BYTES_MAX, context);
      } catch (error) {
        if (!(error instanceof NgbakError) || error.retryable) throw error;
        leaveOut(`The configuration cannot be read: ${error.message}`);
        continue;
      }
      if (found === undefined) {
        if (named.includes(name)) leaveOut('Sources of the configuration do not exist.');
        continue;
      }
      const settings = typeof found === 'string' ? parseSettings(name, found) : { ...found };
      // What has no names of settings cannot be masked by them.
      if (settings === undefined) {
        leaveOut('Sources of the configuration are neither JSON, YAML, INI nor NAME=value lines.');
        continue;
      }
      const masked = maskSecrets(settings);
      bytes += Buffer.byteLength(JSON.stringify(masked));
      if (bytes > ALL_BYTES_MAX) {
        leaveOut(`The configuration is larger than ${ALL_BYTES_MAX} bytes in all.`);
        break;
      }
      read[name] = masked;
    }
    return read;
  };
  return open(config, targetName, 'kv', readAll).catch(leaveOutAll);
}
