import { BlockList, isIP } from 'node:net';
import { InvalidInputError } from '../shared/core/errors.ts';
import { placeOf } from '../shared/core/files-location.ts';
import { hostOf } from '../shared/core/host.ts';
import { Id } from '../shared/core/ids.ts';
import { parseInput } from '../shared/core/input.ts';
import type { Json } from '../shared/core/json.ts';
import { roleOf, type ServedStore } from '../shared/core/store-names.ts';
import { findProfile, profileScopes } from '../shared/profiles/profiles.ts';
import type { Proposal } from '../shared/profiles/propose.ts';
import { JsonObject } from './configuration-file.ts';
import { lookingOnly, type NamedStore, openStore } from './known-stores.ts';

/** A target as "targets" in cdk.json holds it. Contains no addresses and no credentials. */
export interface WrittenTarget {
  readonly profile: string;
  readonly parameters?: Readonly<Record<string, Json>>;
  readonly stores: Readonly<Record<string, { kind: string; buckets?: string[] }>>;
}

/** Parses `--parameter NAME=VALUE`: the value is JSON if it can be read as JSON, and text otherwise. */
export function parseParameter(text: string): [string, Json] {
  const [, name, value] = /^([a-z_]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidInputError(`--parameter "${text}" is not NAME=VALUE.`, {
      remedy: 'Write it as --parameter workspace=docs, or --parameter \'group_ids=["a","b"]\'.',
    });
  }
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value];
  }
}

/**
 * The target for these stores: the proposed profile, or another one, with its parameters. Throws InvalidInputError if
 * a parameter has to be chosen, or if the profile does not have it.
 */
export function targetFor(
  stores: readonly NamedStore[],
  proposal: Proposal,
  given: { readonly profile?: string | undefined; readonly parameters: Readonly<Record<string, Json>> },
): WrittenTarget {
  const profile = given.profile ?? proposal.profile;
  const isProposed = profile === proposal.profile;
  const parameters = { ...(isProposed ? proposal.parameters : {}), ...given.parameters } as Record<
    string,
    Json
  >;
  for (const [name, values] of Object.entries(isProposed ? proposal.choices : {})) {
    if (Object.hasOwn(parameters, name)) continue;
    throw new InvalidInputError(
      `Several knowledge bases share these servers: the profile "${profile}" needs a ${name}, one of ${values.map((value) => value || '""').join(', ')}.`,
      { remedy: `Choose one, such as --parameter '${name}=${values[0]}'. Write a target for each.` },
    );
  }
  const { several = [] } = findProfile(profile);
  const further = stores.find(
    ({ adapter: { name, facts } }) => name !== facts.name && !several.some((role) => role === facts.name),
  );
  if (further) {
    throw new InvalidInputError(
      `A system of profile "${profile}" has one store of the role "${further.adapter.facts.name}", and "${further.adapter.name}" would be another.`,
      {
        remedy:
          'Leave its address out, or choose another profile: docs/profiles.md lists those with several.',
      },
    );
  }
  return {
    profile,
    ...(Object.keys(parameters).length > 0 ? { parameters } : {}),
    stores: Object.fromEntries(
      stores.map(({ adapter: { name, kind }, connection: { location } }) => {
        const bucket = location === undefined ? undefined : placeOf(location).bucket;
        return [name, { kind, ...(bucket === undefined ? {} : { buckets: [bucket] }) }];
      }),
    ),
  };
}

/** What a target saves of one store. */
export interface Covered {
  readonly store: string;
  readonly kind: string;
  /** Numbers of records, by what they are: those of the target, and of the whole server or folder. */
  readonly saved: Readonly<Record<string, number>>;
  readonly all: Readonly<Record<string, number>>;
}

/**
 * Counts what the target saves of each store. Throws InvalidInputError if a store that has data has none that belongs to
 * the target: its backups would be empty.
 */
export async function coverageOf(target: WrittenTarget, stores: readonly NamedStore[]): Promise<Covered[]> {
  const kinds = new Map(stores.map(({ adapter }) => [adapter.name, adapter.kind]));
  const covered: Covered[] = [];
  for (const named of stores) {
    const { adapter } = named;
    const count = async (scope?: object) => {
      const store = openStore(named, scope);
      try {
        return (await store.probe(lookingOnly())).counts;
      } finally {
        await store.close();
      }
    };
    const name = adapter.name as ServedStore;
    const kvKind = roleOf(name) === 'kv' ? adapter.kind : kinds.get('kv');
    const scopes = profileScopes(target.profile, { ...target.parameters }, kvKind);
    const [saved, all] = [await count(scopes[roleOf(name)] ?? {}), await count()];
    const isEmpty = (counts: Readonly<Record<string, number>>) =>
      Object.values(counts).every((value) => value === 0);
    if (isEmpty(saved) && !isEmpty(all)) {
      throw new InvalidInputError(
        `The profile "${target.profile}" saves nothing of the ${name} store, which is not empty.`,
        {
          remedy:
            'Correct --parameter or --profile (docs/profiles.md says what belongs to each), or leave out the address of this store.',
        },
      );
    }
    covered.push({ store: name, kind: adapter.kind, saved, all });
  }
  return covered;
}

/** Addresses of private networks: RFC 1918, RFC 4193, RFC 6598. */
const PRIVATE = new BlockList();
for (const [address, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const)
  PRIVATE.addSubnet(address, bits);
PRIVATE.addSubnet('fc00::', 7, 'ipv6');
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * What prevents functions in AWS from reaching this address: this machine's own, a private one without a VPC, or a
 * folder of this machine.
 */
export function hiddenFromFunctions(
  { adapter: { name }, connection }: NamedStore,
  hasNetwork: boolean,
): string[] {
  const { uri, url = uri, location } = connection;
  if (location !== undefined) {
    if (placeOf(location).bucket !== undefined) return [];
    return [
      `${name}: functions in AWS cannot read the folder ${location} of this machine. Put it on EFS ("fileSystem"), or synchronise it to S3.`,
    ];
  }
  const host = hostOf(new URL(url ?? ''));
  const kind = isIP(host) === 6 ? 'ipv6' : 'ipv4';
  if (host === 'localhost' || (isIP(host) && LOOPBACK.check(host, kind))) {
    return [
      `${name}: functions in AWS cannot reach ${host}. Put the address that they reach into its secret.`,
    ];
  }
  if (!hasNetwork && isIP(host) && PRIVATE.check(host, kind)) {
    return [
      `${name}: ${host} is a private address. Configure "network", so that the functions run in its VPC.`,
    ];
  }
  return [];
}

/** The configuration with this target; its other settings are those that it had. */
export function withTarget(
  ngbak: Readonly<Record<string, Json>>,
  name: string,
  target: WrittenTarget,
): { before: Json | undefined; after: Record<string, Json> } {
  parseInput(Id, name, 'The name of the target', 'Use letters, digits, "-" and "_": --target NAME.');
  const targets = parseInput(JsonObject, ngbak.targets ?? {}, '"targets"');
  const before = Object.hasOwn(targets, name) ? targets[name] : undefined;
  return { before, after: { ...ngbak, targets: { ...targets, [name]: target as unknown as Json } } };
}
