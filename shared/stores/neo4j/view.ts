import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { ArchiveView, rewriteLines, type ViewedEntry } from '../../archive/read/view.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import type { Route, RouteRequest } from '../route.ts';
import type { Neo4jScope } from './connection.ts';
import { DANGLING_PREFIX, NODES_PREFIX, nodeBatches, RELATIONSHIPS_PREFIX, START } from './entries.ts';
import {
  type EndLine,
  nodeText,
  parseNodeLine,
  parseRelationshipLine,
  type RelationshipLine,
  relationshipText,
} from './lines.ts';
import { hiddenLabel, RESERVED_PREFIX, SCRATCH_PREFIX } from './names.ts';
import { isByProperty, routeTenants } from './route-tenants.ts';
import { encodeSchema, parseSchemaLine, type SchemaRow } from './schema.ts';
import { scopeText } from './scope.ts';
import { viewTenants } from './view-tenants.ts';

/**
 * Maps the label that the graph was saved under, or the values of its property, to those at the destination: see
 * `StoreAdapter.route`.
 */
export async function routeGraph(
  archive: EntryReader,
  saved: Neo4jScope | undefined,
  target: Neo4jScope,
  request: RouteRequest,
): Promise<Route<Neo4jScope>> {
  if (isByProperty(saved) || isByProperty(target)) return routeTenants(archive, saved, target, request);
  const { label } = request.rename;
  if (label?.startsWith(SCRATCH_PREFIX)) {
    throw refused(`a label can't be called "${label}"`, 'Choose another name.');
  }
  return routeLabels(archive, saved, target, request);
}

/** The same for drills, which use reserved names that no request may specify. */
export async function routeLabels(
  archive: EntryReader,
  saved: Neo4jScope | undefined,
  target: Neo4jScope,
  request: RouteRequest,
): Promise<Route<Neo4jScope>> {
  const labels = labelsOf(saved, target, request);
  const { from, to, part, also } = labels;
  const refusal = refusalOf(saved, target, request, labels);
  if (refusal) throw refused(...refusal);
  const isOfWhole = saved !== undefined && saved.label === undefined;
  const sought = part ?? (isOfWhole ? request.only.label : undefined);
  if (sought !== undefined && sought !== saved?.also_label) await requireNode(archive, [from, sought]);
  const isKnown = from !== undefined && to !== undefined;
  const origin = request.origin && {
    ...request.origin,
    ...(from !== undefined && from !== to ? { original_label: from } : {}),
  };
  const changes: readonly [applies: boolean, text: string][] = [
    [isKnown && isOfWhole, `of the whole database, only the nodes of label "${from}"`],
    [
      isKnown && part !== undefined && part !== saved?.also_label,
      `of the nodes of label "${from}", only those of label "${part}"`,
    ],
    [isKnown && from !== to, `label "${from}" becomes "${to}"`],
    [origin !== undefined, `every node gets ${Object.keys(origin ?? {}).join(', ')}`],
  ];
  return {
    saved,
    scope: {
      ...target,
      ...(to === undefined ? {} : { label: to }),
      ...(also === undefined ? {} : { also_label: also }),
    },
    names: isKnown ? { [from]: to } : {},
    ...(origin === undefined ? {} : { origin }),
    changes: changes.filter(([applies]) => applies).map(([, text]) => text),
  };
}

/** The labels of a route; undefined for a whole database. */
interface RouteLabels {
  /** The label in the archive (`from`) and at the destination (`to`). */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /**
   * A second label, if the request selects only the nodes that have both this label and the one the archive was saved
   * by.
   */
  readonly part: string | undefined;
  /** A second label that all nodes of the scope have. */
  readonly also: string | undefined;
}

function labelsOf(
  saved: Neo4jScope | undefined,
  target: Neo4jScope,
  { only, rename }: RouteRequest,
): RouteLabels {
  const part = only.label === saved?.label || saved?.label === undefined ? undefined : only.label;
  const also = saved?.also_label ?? part;
  const from = saved?.label ?? only.label ?? target.label;
  const isWholeScope = only.label === undefined && also === undefined;
  return { from, to: rename.label ?? target.label ?? (isWholeScope ? undefined : from), part, also };
}

/** Why the label cannot be rewritten safely, and the remedy: the first reason that applies. */
function refusalOf(
  saved: Neo4jScope | undefined,
  target: Neo4jScope,
  { only, rename: { label } }: RouteRequest,
  { from, part, also }: RouteLabels,
): readonly [problem: string, remedy: string] | undefined {
  const others = [part, target.also_label].filter((other) => other !== undefined && other !== also);
  const reasons: readonly [applies: boolean, problem: string, remedy: string][] = [
    [
      label?.startsWith(RESERVED_PREFIX) === true,
      `a label can't be called "${label}"`,
      'Choose another name.',
    ],
    [
      others.length > 0,
      `the archive contains only nodes of ${scopeText(saved ?? {}).words}, not of "${others.join('", "')}"`,
      'Leave the label out, or restore into a target with the scope that was saved.',
    ],
    [
      label !== undefined && saved === undefined && only.label === undefined,
      'the archive does not state the label of its nodes, so the label cannot be renamed',
      'Name it as the label to restore (only.label), or restore into a target with the same label.',
    ],
    [
      label !== undefined && from === undefined,
      'the archive contains a whole database; name the label to be renamed',
      'Name the label to restore (only.label).',
    ],
  ];
  const reason = reasons.find(([applies]) => applies);
  return reason && [reason[1], reason[2]];
}

/**
 * Rejects a mistyped label, which would replace the data of the target with nothing: at least one node must have these
 * labels.
 */
async function requireNode(archive: EntryReader, labels: readonly (string | undefined)[]): Promise<void> {
  for await (const { records } of nodeBatches(archive, START)) {
    if (records.some((node) => labels.every((label) => label === undefined || node.labels.includes(label))))
      return;
  }
  throw refused(
    `the archive contains no node with label ${[...new Set(labels)].map((label) => `"${label}"`).join(' and ')}`,
    'Choose a label that some of its nodes have.',
  );
}

/**
 * The graph as it will be at its destination: with other labels, or only the nodes with one label of a whole database.
 */
export function viewGraph(archive: EntryReader, route: Route<Neo4jScope>): EntryReader {
  if (route.changes.length === 0) return archive;
  if (isByProperty(route.scope)) return viewTenants(archive, route);
  const [names] = Object.entries(route.names);
  const { saved, scope, origin } = route;
  const [from, to] = names ?? [];
  const wanted = saved?.label === undefined ? from : scope.also_label;
  const isPart = saved !== undefined && wanted !== undefined && wanted !== saved.also_label;
  const view: GraphView = { from, to, wanted: isPart ? wanted : undefined, origin };
  return new ArchiveView(archive, 'graph/', async (entry) => lookAt(archive, entry, view));
}

interface GraphView {
  /** Both are undefined if a whole database is restored as a whole. */
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Properties added to every node. */
  readonly origin: Readonly<Record<string, string>> | undefined;
  /** The label of the selected nodes, if the archive also contains others. */
  readonly wanted: string | undefined;
}

function lookAt(archive: EntryReader, entry: IndexEntry, view: GraphView): ViewedEntry[] {
  const lines = (rewrite: (line: string, number: number) => string | undefined) => () =>
    rewriteLines(linesOf(archive.open(entry), entry), rewrite);
  const relationships = (keep: (inside: number) => boolean) =>
    lines((text, number) => {
      const line = parseNamed(text, parseRelationshipLine, entry, number);
      const inside = [line.start, line.end].filter(({ labels }) => isWanted(labels, view)).length;
      return view.wanted === undefined || keep(inside) ? relationshipText(renameEnds(line, view)) : undefined;
    });
  const { name } = entry;
  if (name.startsWith(NODES_PREFIX)) {
    const content = lines((text, number) => {
      const node = parseNamed(text, parseNodeLine, entry, number);
      if (!isWanted(node.labels, view)) return undefined;
      if (!isOf(node.labels, view)) {
        throw refused(
          `node ${node.id} of the archive has no label "${view.from}", by which it is identified`,
          'Restore into a target with the scope that was saved.',
        );
      }
      const taken = Object.keys(view.origin ?? {}).find((property) =>
        Object.hasOwn(node.properties, property),
      );
      if (taken !== undefined) {
        throw refused(
          `node ${node.id} of the archive has "${taken}" already, from an earlier restore`,
          'Restore without labels of origin.',
        );
      }
      return nodeText({
        ...node,
        labels: renameLabels(node.labels, view),
        properties: { ...node.properties, ...view.origin },
      });
    });
    return [{ name, content }];
  }
  if (name.startsWith(RELATIONSHIPS_PREFIX)) {
    const inside: ViewedEntry = { name, content: relationships((ends) => ends === 2) };
    if (view.wanted === undefined) return [inside];
    const dangling = name.replace(RELATIONSHIPS_PREFIX, `${DANGLING_PREFIX}inside-`);
    return [inside, { name: dangling, content: relationships((ends) => ends === 1) }];
  }
  if (name.startsWith(DANGLING_PREFIX)) return [{ name, content: relationships((ends) => ends > 0) }];
  if (name.startsWith('graph/schema')) {
    const content = lines((text, number) => {
      const row = parseNamed(text, parseSchemaLine, entry, number);
      const serves = row.entity === 'NODE' && isOf(row.tokens, view);
      // Relationship types are not renamed, so their constraints would also apply to relationships outside the scope.
      if (!serves && view.to?.startsWith(SCRATCH_PREFIX)) return undefined;
      if (!serves) return view.wanted === undefined ? text : undefined;
      return encodeSchema(renameSchema(row, view)).line;
    });
    return [{ name, content }];
  }
  return [{ name }];
}

/** Whether a node with these labels is selected for the restore. */
function isWanted(labels: readonly string[], view: GraphView): boolean {
  return view.wanted === undefined || (isOf(labels, view) && labels.includes(view.wanted));
}

/** Whether these labels include the one the archive was saved by. */
function isOf(labels: readonly string[], { from }: GraphView): boolean {
  return from === undefined || labels.includes(from);
}

function renameLabels(labels: readonly string[], { from, to }: GraphView): readonly string[] {
  if (from === undefined || to === undefined || from === to) return labels;
  if (labels.includes(to)) {
    throw refused(
      `a node of the archive has the label "${to}" in addition to "${from}", so the two could not be distinguished any more`,
      'Choose another name for the label.',
    );
  }
  return labels.map((label) => renameLabel(label, { from, to }));
}

/**
 * Under scratch names every label is renamed, so that other clients' queries don't find these nodes and no constraint
 * applies to them.
 */
function renameLabel(label: string, { from, to }: { from: string; to: string }): string {
  if (label === from) return to;
  return to.startsWith(SCRATCH_PREFIX) ? hiddenLabel(label) : label;
}

/** The outer end of a dangling relationship does not have the label of the scope, and is not changed. */
function renameEnds(line: RelationshipLine, view: GraphView): RelationshipLine {
  const rename = (end: EndLine): EndLine =>
    isOf(end.labels, view) ? { ...end, labels: renameLabels(end.labels, view) } : end;
  return { ...line, start: rename(line.start), end: rename(line.end) };
}

/** Names of constraints and indexes are unique in a database, so those of a renamed label are renamed as well. */
function renameSchema(row: SchemaRow, { from, to }: GraphView): SchemaRow {
  if (from === undefined || to === undefined || from === to) return row;
  const name = row.name.includes(from) ? row.name.replaceAll(from, to) : `${row.name}_${to}`;
  return { ...row, name, tokens: row.tokens.map((token) => renameLabel(token, { from, to })) };
}

function refused(problem: string, remedy: string): InvalidInputError {
  return new InvalidInputError(`The graph cannot be restored with these options: ${problem}.`, { remedy });
}
