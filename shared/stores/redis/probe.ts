import { createHash } from 'node:crypto';
import { MultisetDigest } from '../../core/digest.ts';
import type { Shard, StoreProbe } from '../export-step.ts';
import type { LegContext } from '../leg.ts';
import { MarkFinder, type MarkRequest } from '../marks.ts';
import type { StoreWarning } from '../warning.ts';
import type { RedisClient } from './client.ts';
import { contentOf } from './content.ts';
import { keyWindows } from './keys.ts';
import type { LeftOut } from './left-out.ts';
import { BATCH_KEYS, type KeyReader } from './read.ts';
import { ContentDigest, canonicalKey, canonicalString } from './record.ts';
import { type ByteString, toBytes } from './scope.ts';
import { infoFields, type ServerFacts } from './server.ts';
import type { RedisSite } from './site.ts';

/** Number of keys whose content the fence digests. Scopes of up to this many keys are digested completely. */
const SAMPLE_KEYS = 10_000;
/** Number of namespaces with a fence value of their own; the others share one. */
const FENCE_NAMESPACES = 32;
/** Clock difference in ms from which a warning is reported. */
const CLOCK_WARNING_MS = 60_000;
/** Estimated bytes per key if nothing could be sampled. */
const KEY_BYTES_GUESS = 1_024;

interface Sampled {
  readonly hash: string;
  readonly namespace: string;
  readonly key: ByteString;
}

/**
 * Measures the scope: exact counts by namespace, and a fence. The fence digests the names of all keys and the contents
 * of a fixed sample (the keys whose names have the lowest hashes). Small scopes are sampled completely, so that every
 * change is detected; for larger ones, the fence also includes the server's own change counter.
 */
export async function probeKeys(
  { client, space, reader, facts, limits }: RedisSite,
  context: LegContext,
  requests: readonly MarkRequest[] = [],
): Promise<StoreProbe> {
  const counts: Record<string, number> = {};
  const names = new Map<string, MultisetDigest>();
  let sample: Sampled[] = [];
  let bound = '~';
  let total = 0;
  let leftOut: LeftOut | undefined;
  const marks = new MarkFinder('key', requests);
  for await (const window of keyWindows(client, space, null, context.signal, limits)) {
    leftOut = window.leftOut;
    for (const { namespace, keys } of window.keys) {
      counts[`keys:${namespace}`] = (counts[`keys:${namespace}`] ?? 0) + keys.length;
      total += keys.length;
      const digest = names.get(namespace) ?? new MultisetDigest();
      names.set(namespace, digest);
      for (const key of keys) {
        digest.add(toBytes(key));
        if (!marks.isDone) marks.see(key);
        const hash = createHash('md5').update(key, 'latin1').digest('hex');
        if (hash < bound) sample.push({ hash, namespace, key });
        if (sample.length >= 2 * SAMPLE_KEYS) {
          sample = smallest(sample);
          bound = sample.at(-1)?.hash ?? bound;
        }
      }
    }
  }
  sample = smallest(sample);
  const contents = await digestSample(reader, sample, context);
  return {
    kind: 'redis',
    version: facts.version,
    edition: facts.edition,
    counts,
    ...(requests.length === 0 ? {} : { marks: marks.found }),
    estimatedBytes: Math.ceil(total * (contents.keys > 0 ? contents.bytes / contents.keys : KEY_BYTES_GUESS)),
    fence: {
      ...fenceOf(counts, names, contents.digests),
      ...(total > SAMPLE_KEYS ? { changes: await readChanges(client) } : {}),
    },
    warnings: [...(leftOut?.warnings(client.name) ?? []), ...(await serverWarnings(client, facts))],
  };
}

/** Reports properties of the server that may cause records to be missing. */
async function serverWarnings(client: RedisClient, facts: ServerFacts): Promise<StoreWarning[]> {
  const warnings: StoreWarning[] = [];
  if (facts.hidesFieldExpiry) {
    warnings.push({
      code: 'field-expiries-unreadable',
      text: `${client.name}: fields of hashes can expire there, but the server does not report when (it has no HPEXPIRETIME): these expiries are not saved, and restored fields do not expire.`,
    });
  }
  if (Math.abs(facts.clockAheadMs) >= CLOCK_WARNING_MS) {
    warnings.push({
      code: 'server-clock-off',
      text: `${client.name}: its clock is ${facts.clockAheadMs > 0 ? 'ahead' : 'behind'} by more than a minute, so keys expire early or late; correct it.`,
    });
  }
  return warnings;
}

/** One shard: a server processes one command at a time, so additional readers would only wait for each other. */
export function planKeys(probe: StoreProbe): Shard[] {
  const keys = Object.values(probe.counts).reduce((sum, count) => sum + count, 0);
  return keys === 0 ? [] : [{ id: 'keys', params: {}, estimatedBytes: probe.estimatedBytes }];
}

function smallest(sample: Sampled[]): Sampled[] {
  return sample.sort((left, right) => (left.hash < right.hash ? -1 : 1)).slice(0, SAMPLE_KEYS);
}

async function digestSample(
  reader: KeyReader,
  sample: readonly Sampled[],
  context: LegContext,
): Promise<{ keys: number; bytes: number; digests: Map<string, MultisetDigest> }> {
  const digests = new Map<string, MultisetDigest>();
  const namespaces = new Map(sample.map(({ namespace, key }) => [key, namespace]));
  let keys = 0;
  let bytes = 0;
  const add = (key: ByteString, record: Buffer, size: number) => {
    const namespace = namespaces.get(key) ?? '';
    const digest = digests.get(namespace) ?? new MultisetDigest();
    digests.set(namespace, digest);
    digest.add(record);
    keys++;
    bytes += key.length + size;
  };
  for (let start = 0; start < sample.length; start += BATCH_KEYS) {
    context.signal.throwIfAborted();
    const batch = sample.slice(start, start + BATCH_KEYS).map(({ key }) => key);
    for await (const reading of reader.read(batch)) {
      if (reading.kind === 'string') {
        const { key, value, expiresAt } = reading;
        add(key, canonicalString(key, value, expiresAt), value.length);
      } else if (reading.kind === 'whole') {
        const { key, type, items, expiresAt, stream } = reading.part;
        const digest = new ContentDigest(type);
        digest.add(items);
        const size = items.flat().reduce((sum, part) => sum + part.length, 0);
        add(key, canonicalKey(key, type, digest, expiresAt, stream), size);
      } else {
        const content = await contentOf(reader, reading.key, true, { as: 'once', signal: context.signal });
        if (content?.kind !== 'digest') continue;
        const record = `${content.type} ${content.digest} ${content.expiresAt} ${JSON.stringify(content.stream?.last_id)}`;
        add(reading.key, Buffer.from(record), await reader.sizeOf(reading.key));
      }
    }
  }
  return { keys, bytes, digests };
}

/** One readable value per namespace: number of keys, digest of names and sampled contents. */
function fenceOf(
  counts: Record<string, number>,
  names: ReadonlyMap<string, MultisetDigest>,
  contents: ReadonlyMap<string, MultisetDigest>,
): Record<string, string> {
  const fence: Record<string, string> = {};
  const rest = createHash('sha256');
  for (const [index, namespace] of [...names.keys()].sort().entries()) {
    const hash = index < FENCE_NAMESPACES ? createHash('sha256') : rest;
    hash.update(`${names.get(namespace)?.hex()}${contents.get(namespace)?.hex()}`);
    if (hash === rest) fence['keys of other namespaces'] = '';
    else
      fence[`keys:${namespace}`] =
        `${counts[`keys:${namespace}`]} keys, digest ${hash.digest('hex').slice(0, 16)}`;
  }
  if ('keys of other namespaces' in fence)
    fence['keys of other namespaces'] = `digest ${rest.digest('hex').slice(0, 16)}`;
  return fence;
}

/** The servers' own counters: changes since the last save to disk, and the time of that save. */
async function readChanges(client: RedisClient): Promise<string> {
  const counters: string[] = [];
  for (const node of await client.nodes()) {
    const info = infoFields(await client.call(node, 'INFO', 'persistence'));
    counters.push(`${info.rdb_changes_since_last_save}@${info.rdb_last_save_time}`);
  }
  return counters.join(' ');
}
