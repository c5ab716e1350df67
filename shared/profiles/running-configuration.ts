import { type ConfigurationFolder, findTarget, type NgbakConfig, type TargetConfig } from '../core/config.ts';
import { NgbakError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import type { ServedStore } from '../core/store-names.ts';
import { maskSecrets } from '../stores/config/mask.ts';
import { openFolder } from '../stores/files/connection.ts';
import { readSetting } from '../stores/files/read-setting.ts';
import type { LegContext } from '../stores/leg.ts';
import { storesOfRole, withStore } from './open.ts';
import { findProfile } from './profiles.ts';
import { parseSettings } from './setting-text.ts';

/** Maximum size in bytes of one source, and of what is kept from all sources. */
const SOURCE_BYTES_MAX = 64 * 1024;
const ALL_BYTES_MAX = 256 * 1024;

/** Masked settings of a running system, by the name of their source. */
export type RunningConfiguration = Record<string, Json>;

/** Reads a source as text or as fields; undefined if it does not exist. */
type Read = (name: string) => Promise<string | Readonly<Record<string, string>> | undefined>;

/** Names of sources in one location, and those among them that should exist. */
interface Sources {
  readonly names: readonly string[];
  readonly expected: readonly string[];
}

/**
 * Reads the configuration that the target's system runs with: the files that its profile knows, if they exist, from
 * `configuration_folder` or else from the files store; and the files and keys that `configuration_from` names, from the
 * key-value store. Secrets are masked. Unreadable sources only cause a warning, because they must not fail a backup of
 * the data.
 *
 * @param options.isNeeded  whether the job needs a store anyway, and therefore fails if it cannot be reached
 */
export async function readRunningConfiguration(
  config: NgbakConfig,
  targetName: string,
  context: LegContext,
  { open = withStore, isNeeded }: { open?: typeof withStore; isNeeded: (store: ServedStore) => boolean },
): Promise<RunningConfiguration> {
  const target = findTarget(config, targetName);
  const read = new ReadSources(context);
  const stores = storesOfRole(config, targetName, 'kv');
  // What is named may be in any of them: a name that the first one does not have is looked for in the next one.
  const found = new Set<string>();
  for (const name of stores) {
    const all = sourcesInStore(target, name);
    const names = all.names.filter((source) => !found.has(source));
    const inStore = {
      names,
      expected: name === stores.at(-1) ? names.filter((source) => all.expected.includes(source)) : [],
    };
    if (names.length === 0) continue;
    await open(config, targetName, name, (store) =>
      read.all(inStore, async (source) => {
        const setting = await store.setting?.(source, SOURCE_BYTES_MAX, context);
        if (setting !== undefined) found.add(source);
        return setting;
      }),
    ).catch((error) => {
      if (isNeeded(name)) throw error;
      read.leaveOut(inStore, error);
    });
  }
  if (target.configuration_folder) {
    const inFolder = sourcesInFolder(target, target.configuration_folder);
    await readFolder(target.configuration_folder, targetName, inFolder, read).catch((error) =>
      read.leaveOut(inFolder, error),
    );
  }
  return read.settings;
}

function sourcesInStore(target: TargetConfig, name: ServedStore): Sources {
  const { configuration_from: named = [], configuration_folder: folder, stores } = target;
  const hasKnown = folder === undefined && stores[name]?.kind === 'files';
  const known = hasKnown ? (findProfile(target.profile).configurationFiles ?? []) : [];
  return { names: [...new Set([...named, ...known])], expected: named };
}

/** The only files that may be read from a configuration folder. The IAM policy of the functions relies on this. */
export function sourcesInFolder(
  { profile }: Pick<TargetConfig, 'profile'>,
  { files = [] }: ConfigurationFolder,
): Sources {
  const known = findProfile(profile).configurationFiles ?? [];
  return { names: [...new Set([...files, ...known])], expected: files };
}

async function readFolder(
  { location, region }: ConfigurationFolder,
  targetName: string,
  sources: Sources,
  read: ReadSources,
): Promise<void> {
  const connection = { location, ...(region === undefined ? {} : { region }) };
  const folder = openFolder(connection, { folder: '' }, targetName);
  try {
    const remedy = 'Leave it out of "configuration_folder".';
    const found = await read.all(sources, (name) => readSetting(folder, name, SOURCE_BYTES_MAX, remedy));
    // If a configured folder contains none of the files, its name is probably wrong.
    if (found === 0 && sources.expected.length === 0)
      read.warn(`${folder.name} has no files of settings.`, sources.names);
  } finally {
    await folder.close();
  }
}

/** Collects settings within the size limits, and warns about those left out. */
class ReadSources {
  readonly settings: RunningConfiguration = {};
  readonly #context: LegContext;
  #bytes = 0;

  constructor(context: LegContext) {
    this.#context = context;
  }

  warn(text: string, samples: readonly string[]): void {
    this.#context.warn({
      code: 'configuration-left-out',
      text,
      count: samples.length,
      samples: [...samples],
    });
  }

  /** Warns about sources whose location cannot be reached. */
  leaveOut({ names }: Sources, error: unknown): void {
    if (!(error instanceof NgbakError)) throw error;
    this.warn(`The configuration of the running system cannot be read: ${error.message}`, names);
  }

  /** Reads the sources in one location. Returns how many exist. */
  async all({ names, expected }: Sources, read: Read): Promise<number> {
    let existing = 0;
    for (const name of names) {
      let found: Awaited<ReturnType<Read>>;
      try {
        found = await read(name);
      } catch (error) {
        if (!(error instanceof NgbakError) || error.retryable) throw error;
        this.warn(`The configuration cannot be read: ${error.message}`, [name]);
        existing++;
        continue;
      }
      if (found !== undefined) existing++;
      else if (expected.includes(name)) this.warn('Sources of the configuration do not exist.', [name]);
      if (found !== undefined && !this.#add(name, found)) break;
    }
    return existing;
  }

  /** Returns false once there is no space left. */
  #add(name: string, found: string | Readonly<Record<string, string>>): boolean {
    const settings = typeof found === 'string' ? parseSettings(name, found) : { ...found };
    // Masking depends on the names of settings, so text without them is left out.
    if (settings === undefined) {
      this.warn('Sources of the configuration are neither JSON, YAML, INI nor NAME=value lines.', [name]);
      return true;
    }
    const masked = maskSecrets(settings);
    this.#bytes += Buffer.byteLength(JSON.stringify(masked));
    if (this.#bytes > ALL_BYTES_MAX) {
      this.warn(`The configuration is larger than ${ALL_BYTES_MAX} bytes in all.`, [name]);
      return false;
    }
    this.settings[name] = masked;
    return true;
  }
}
