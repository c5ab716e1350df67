import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { IndexEntry } from '../../archive/format/types.ts';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import { pulledSink } from '../../archive/read/pulled-sink.ts';
import { MultisetDigest, type Tallies, type Tally } from '../../core/digest.ts';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import { BaseStore } from '../base-store.ts';
import type { ContentCheck, ContentFindings, EntrySink } from '../content-check.ts';
import { defineAdapter } from '../define-adapter.ts';
import type { ExportStep, StoreProbe } from '../export-step.ts';
import { DONE, type LegResult } from '../leg.ts';
import type { VerifyResult } from '../restore-leg.ts';
import { SavedTallies } from '../tally-book.ts';
import { configFacts } from './facts.ts';
import { maskSecrets } from './mask.ts';

/** Name of the single entry. */
export const ENTRY = 'config/effective.json';
/** Maximum size of the entry in bytes: far more than a deployment's configuration can have. */
const ENTRY_BYTES_MAX = 16 * 1024 ** 2;

const ConfigConnection = z.strictObject({});
const ConfigScope = z.strictObject({
  /** Name of the target. */
  target: z.string(),
  /** Its configuration as currently in effect: any JSON value. */
  effective: z.unknown(),
  /** Masked settings that the system runs with, by the name of their source. */
  running: z.record(z.string(), z.json()).optional(),
});
type ConfigScope = z.infer<typeof ConfigScope>;

/** The target's effective configuration, saved for reference with its secrets masked. Restores do not load it. */
export const configAdapter = defineAdapter({
  facts: configFacts,
  Connection: ConfigConnection,
  Scope: ConfigScope,
  create: (_connection, scope) => new ConfigStore(scope),
  overlaps: () => false,
  check: (_origin, from) => new ConfigCheck(from),
});

/** The content of the entry: what is saved of a target's configuration. */
export function maskedConfiguration(scope: ConfigScope): Json {
  return new ConfigStore(scope).settings;
}

class ConfigStore extends BaseStore {
  readonly #settings: Json;

  constructor({ target, effective, running }: ConfigScope) {
    super(configAdapter);
    this.#settings = sorted(
      maskSecrets({
        target,
        effective: JSON.parse(JSON.stringify(effective ?? null)) as Json,
        ...(running && Object.keys(running).length > 0 ? { running: running as Json } : {}),
      }),
    );
  }

  /** The settings to save, with secrets masked. */
  get settings(): Json {
    return this.#settings;
  }

  async probe(): Promise<StoreProbe> {
    const tally = tallyOf(this.#settings);
    return {
      kind: 'config',
      version: '1',
      counts: { settings: tally.count },
      estimatedBytes: this.#bytes().length,
      fence: { settings: createHash('sha256').update(this.#bytes()).digest('hex').slice(0, 16) },
      warnings: [],
    };
  }

  override async names(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async *export(): AsyncGenerator<ExportStep> {
    yield {
      piece: wholeEntry(ENTRY, this.#bytes()),
      tallies: { settings: tallyOf(this.#settings) },
      next: null,
    };
  }

  #bytes(): Buffer {
    return Buffer.from(`${JSON.stringify(this.#settings, null, 2)}\n`, 'utf8');
  }

  /** Always empty: restores do not load the configuration, whatever their mode. */
  override async admits(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async clear(): Promise<LegResult> {
    return DONE;
  }

  async load(): Promise<LegResult> {
    return DONE;
  }

  async verify(): Promise<VerifyResult> {
    return { ...DONE, differences: 0, samples: [] };
  }
}

/** Checks that the configuration is JSON: see `ContentCheck`. */
class ConfigCheck implements ContentCheck {
  #tallies: Tallies;

  constructor(from: Json | undefined) {
    this.#tallies = from === undefined ? {} : SavedTallies.parse(from);
  }

  open({ name, size }: IndexEntry): EntrySink | undefined {
    if (name !== ENTRY) return undefined;
    if (size > ENTRY_BYTES_MAX) throw invalid(`has ${size} bytes; the limit is ${ENTRY_BYTES_MAX}`);
    return pulledSink(async (content) => {
      const parts: Uint8Array[] = [];
      // Copy the chunks: their owner may reuse the buffers.
      for await (const chunk of content) parts.push(Buffer.from(chunk));
      let settings: Json;
      try {
        settings = JSON.parse(Buffer.concat(parts).toString('utf8')) as Json;
      } catch (cause) {
        throw invalid('is not JSON', cause);
      }
      this.#tallies = { settings: tallyOf(settings) };
    });
  }

  save(): Json {
    return this.#tallies as unknown as Json;
  }

  async end(): Promise<ContentFindings> {
    return Promise.resolve({ tallies: this.#tallies, problems: [], warnings: [] });
  }
}

function invalid(problem: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(`Entry ${ENTRY} ${problem}.`, {
    remedy: ANOTHER_ARCHIVE,
    cause,
  });
}

/** Returns the value with sorted names, so that equal configurations have equal bytes. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, inner]) => [name, sorted(inner)]),
  );
}

/** Counts the single values, each digested with its path. */
function tallyOf(settings: Json): Tally {
  const digest = new MultisetDigest();
  let count = 0;
  const walk = (value: Json, path: readonly string[]): void => {
    if (value !== null && typeof value === 'object') {
      for (const [name, inner] of Object.entries(value)) walk(inner, [...path, name]);
      return;
    }
    digest.add(JSON.stringify([...path, value]));
    count++;
  };
  walk(settings, []);
  return { count, digest: digest.hex() };
}
