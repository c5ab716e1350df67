import type { EntryReader } from '../../archive/format/types.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { Route, RouteRequest } from '../route.ts';
import type { Neo4jScope } from './connection.ts';
import { nodeBatches, START } from './entries.ts';
import { RESERVED_PREFIX, SCRATCH_PREFIX } from './names.ts';
import { scopeText, shownValue } from './scope.ts';

/** A scope that a property defines. */
type TenantScope = Neo4jScope & { readonly property: string; readonly in: readonly string[] };

/** Whether a property defines the scope. */
export function isByProperty(scope: Neo4jScope | undefined): scope is TenantScope {
  return scope?.property !== undefined && scope.in !== undefined;
}

/**
 * Maps the values of a property that the graph was saved by to those of the destination. The configuration alone decides
 * which values these are; the archive can only narrow them to those that it contains.
 */
export async function routeTenants(
  archive: EntryReader,
  saved: Neo4jScope | undefined,
  target: Neo4jScope,
  request: RouteRequest,
): Promise<Route<Neo4jScope>> {
  if (request.rename.label !== undefined) {
    throw refused(
      'a property defines the scope, so there is no label that could be renamed',
      'Rename with the parameters of the profile (rename.parameters), or restore into a target with other values.',
    );
  }
  const scopes = requireSameProperty(saved, target);
  const taken = target.in?.find((value) => value.startsWith(SCRATCH_PREFIX));
  if (taken !== undefined) {
    throw refused(`${JSON.stringify(taken)} is reserved for drills of ngbak`, 'Choose another value.');
  }
  const values = destinations(scopes.saved, scopes.target, request);
  const labels = labelsOf(scopes.saved, scopes.target, request);
  if (labels.part !== undefined) await requireLabel(archive, labels.part);
  return tenantRoute({ ...scopes, values, labels: labels.all, part: labels.part, request });
}

/** The route into scratch names: other values, and with them other labels; see {@link tenantRoute}. */
export function routeScratchTenants(saved: TenantScope, target: TenantScope, id: string): Route<Neo4jScope> {
  const { in: values } = saved;
  const name = (at: number) => `${SCRATCH_PREFIX}${id}${values.length === 1 ? '' : `_${at + 1}`}`;
  return tenantRoute({
    saved,
    target,
    values: new Map(values.map((value, at) => [value, name(at)])),
    labels: [],
    part: undefined,
    request: { only: {}, rename: {}, sameProfile: true },
  });
}

/** Throws unless both scopes are defined by the same property. */
export function requireSameProperty(
  saved: Neo4jScope | undefined,
  target: Neo4jScope,
): { saved: TenantScope; target: TenantScope } {
  if (isByProperty(saved) && isByProperty(target) && saved.property === target.property) {
    return { saved, target };
  }
  const held =
    saved === undefined
      ? 'the archive does not state its scope'
      : `the archive contains ${scopeText(saved).words}`;
  throw refused(
    `${held}, and the target's scope is ${scopeText(target).words}`,
    'Restore into a target whose scope has the same property.',
  );
}

/** Number of renamed values that the changes list. */
const CHANGES_SHOWN_MAX = 20;

interface TenantRoute {
  readonly saved: TenantScope;
  readonly target: TenantScope;
  /** From the values in the archive to those at the destination. */
  readonly values: ReadonlyMap<string, string>;
  /** Labels that all restored nodes have. */
  readonly labels: readonly string[];
  /** The one of them that was requested, and that not all nodes of the archive have. */
  readonly part: string | undefined;
  readonly request: RouteRequest;
}

function tenantRoute({ saved, target, values, labels, part, request }: TenantRoute): Route<Neo4jScope> {
  const { label: _label, also_label: _also, ...rest } = target;
  const [label, also] = labels;
  const renamed = [...values].filter(([from, to]) => from !== to);
  const [only] = values.size === 1 ? renamed : [];
  const origin = request.origin && { ...request.origin, ...(only ? { original_value: only[0] } : {}) };
  const scope: Neo4jScope = {
    ...rest,
    in: [...values.values()],
    ...(label === undefined ? {} : { label }),
    ...(also === undefined ? {} : { also_label: also }),
  };
  return {
    saved,
    scope,
    names: Object.fromEntries(values),
    ...(origin === undefined ? {} : { origin }),
    changes: [
      ...(part === undefined ? [] : [`only the nodes of label "${part}"`]),
      ...renamed
        .slice(0, CHANGES_SHOWN_MAX)
        .map(([from, to]) => `${saved.property} ${shownValue(from)} becomes ${shownValue(to)}`),
      ...(renamed.length > CHANGES_SHOWN_MAX ? [`and ${renamed.length - CHANGES_SHOWN_MAX} more`] : []),
      ...(origin === undefined ? [] : [`every node gets ${Object.keys(origin).join(', ')}`]),
    ],
  };
}

/** The values at the destination: the same if the target has them, otherwise those in the same positions. */
function destinations(
  saved: TenantScope,
  target: TenantScope,
  { sameProfile }: RouteRequest,
): ReadonlyMap<string, string> {
  const common = saved.in.filter((value) => target.in.includes(value));
  if (common.length === saved.in.length) return new Map(saved.in.map((value) => [value, value]));
  const isClear = saved.in.length === target.in.length && (saved.in.length === 1 || sameProfile);
  if (common.length > 0 || !isClear) {
    throw refused(
      `the archive contains ${scopeText(saved).words}, and the target's scope is ${scopeText(target).words}: it is not clear which value becomes which`,
      'Restore into a target with all values of the archive, or with as many others.',
    );
  }
  return new Map(saved.in.map((value, at) => [value, target.in[at] ?? value]));
}

function labelsOf(
  saved: TenantScope,
  target: TenantScope,
  { only }: RouteRequest,
): { all: readonly string[]; part: string | undefined } {
  const held = [saved.label, saved.also_label].filter((label) => label !== undefined);
  const part = only.label !== undefined && !held.includes(only.label) ? only.label : undefined;
  const all = [...held, ...(part === undefined ? [] : [part])];
  const missing = [target.label, target.also_label].find(
    (label) => label !== undefined && !all.includes(label),
  );
  if (missing !== undefined || all.length > 2 || part?.startsWith(RESERVED_PREFIX)) {
    throw refused(
      `the archive contains ${scopeText(saved).words}, of which label "${missing ?? part}" cannot be selected`,
      'Leave the label out, or restore into a target with the scope that was saved.',
    );
  }
  return { all, part };
}

/** Rejects a mistyped label, which would replace the nodes of the target with nothing. */
async function requireLabel(archive: EntryReader, label: string): Promise<void> {
  for await (const { records } of nodeBatches(archive, START)) {
    if (records.some(({ labels }) => labels.includes(label))) return;
  }
  throw refused(
    `the archive contains no node with label "${label}"`,
    'Choose a label that some of its nodes have.',
  );
}

function refused(problem: string, remedy: string): InvalidInputError {
  return new InvalidInputError(`The graph cannot be restored with these options: ${problem}.`, { remedy });
}
