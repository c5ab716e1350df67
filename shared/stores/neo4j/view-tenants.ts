import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { ArchiveView, rewriteLines, type ViewedEntry } from '../../archive/read/view.ts';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import type { Route } from '../route.ts';
import type { Neo4jScope } from './connection.ts';
import { DANGLING_PREFIX, NODES_PREFIX, RELATIONSHIPS_PREFIX, SCHEMA_ENTRY } from './entries.ts';
import {
  type EndLine,
  type NodeLine,
  nodeText,
  parseNodeLine,
  parseRelationshipLine,
  type RelationshipLine,
  relationshipText,
} from './lines.ts';
import { hiddenLabel, SCRATCH_PREFIX } from './names.ts';
import { parseSchemaLine } from './schema.ts';
import type { Outside } from './scope.ts';
import type { Properties } from './values.ts';

interface TenantView {
  readonly property: string;
  /** From the values in the archive to those at the destination. */
  readonly values: ReadonlyMap<string, string>;
  /** The label of the selected nodes, if the archive also contains others. */
  readonly wanted: string | undefined;
  /** True under scratch names: labels are renamed, so that other clients' queries do not find the nodes. */
  readonly isHidden: boolean;
  /** Properties added to every node. */
  readonly origin: Readonly<Record<string, string>>;
}

/** The graph of a scope that a property defines, as it will be at its destination: with other values, or a part of it. */
export function viewTenants(archive: EntryReader, route: Route<Neo4jScope>): EntryReader {
  const { saved, scope, names, origin = {} } = route;
  const values = new Map(Object.entries(names));
  const view: TenantView = {
    property: scope.property ?? '',
    values,
    wanted: [scope.label, scope.also_label].find(
      (label) => label !== undefined && label !== saved?.label && label !== saved?.also_label,
    ),
    isHidden: [...values.values()].some((value) => value.startsWith(SCRATCH_PREFIX)),
    origin,
  };
  return new ArchiveView(archive, 'graph/', async (entry) => lookAt(archive, entry, view));
}

function lookAt(archive: EntryReader, entry: IndexEntry, view: TenantView): ViewedEntry[] {
  const { name } = entry;
  const lines = (rewrite: (line: string, number: number) => string | undefined) => () =>
    rewriteLines(linesOf(archive.open(entry), entry), rewrite);
  /** The relationships that have this number of ends at the destination. */
  const relationships = (isWanted: (inside: number) => boolean) =>
    lines((text, number) => {
      const line = parseNamed(text, parseRelationshipLine, entry, number);
      const inside = [line.start, line.end].filter((end) => isInside(end, view)).length;
      return isWanted(inside) ? relationshipText(rewriteRelationship(line, view)) : undefined;
    });
  if (name.startsWith(NODES_PREFIX)) {
    const content = lines((text, number) => {
      const node = parseNamed(text, parseNodeLine, entry, number);
      return isSelected(node.labels, view) ? nodeText(rewriteNode(node, view)) : undefined;
    });
    return [{ name, content }];
  }
  if (name.startsWith(RELATIONSHIPS_PREFIX)) {
    const inside = { name, content: relationships((ends) => ends === 2) };
    if (view.wanted === undefined) return [inside];
    const dangling = name.replace(RELATIONSHIPS_PREFIX, `${DANGLING_PREFIX}inside-`);
    return [inside, { name: dangling, content: relationships((ends) => ends === 1) }];
  }
  if (name.startsWith(DANGLING_PREFIX)) return [{ name, content: relationships((ends) => ends > 0) }];
  if (name !== SCHEMA_ENTRY) return [{ name }];
  // Constraints and indexes of hidden labels would be shared by all drills of the database.
  const content = lines((text, number) => {
    if (view.isHidden) return undefined;
    const { entity, tokens } = parseNamed(text, parseSchemaLine, entry, number);
    const isWanted = view.wanted === undefined || (entity === 'NODE' && tokens.includes(view.wanted));
    return isWanted ? text : undefined;
  });
  return [{ name, content }];
}

function isSelected(labels: readonly string[], { wanted }: TenantView): boolean {
  return wanted === undefined || labels.includes(wanted);
}

function isInside(end: EndLine, view: TenantView): boolean {
  return end.outside === undefined && isSelected(end.labels, view);
}

function rewriteNode(node: NodeLine, view: TenantView): NodeLine {
  const value = ownText(node.properties, view.property);
  const to = value === undefined ? undefined : view.values.get(value);
  if (to === undefined) {
    throw refused(
      `node ${node.id} of the archive has no value of its scope in "${view.property}"`,
      ANOTHER_ARCHIVE,
    );
  }
  const taken = Object.keys(view.origin).find((property) => Object.hasOwn(node.properties, property));
  if (taken !== undefined) {
    throw refused(
      `node ${node.id} of the archive has "${taken}" already, from an earlier restore`,
      'Restore without labels of origin.',
    );
  }
  return {
    ...node,
    labels: rewriteLabels(node.labels, view),
    properties: { ...node.properties, ...view.origin, [view.property]: to },
  };
}

/** A relationship keeps a value that is not one of the scope. */
function rewriteRelationship(line: RelationshipLine, view: TenantView): RelationshipLine {
  const value = ownText(line.properties, view.property);
  const to = value === undefined ? undefined : view.values.get(value);
  const rewriteEnd = (end: EndLine): EndLine =>
    isInside(end, view)
      ? { ...end, labels: rewriteLabels(end.labels, view) }
      : { ...end, outside: rewriteOutside(end.outside, view) };
  return {
    ...line,
    properties: to === undefined ? line.properties : { ...line.properties, [view.property]: to },
    start: rewriteEnd(line.start),
    end: rewriteEnd(line.end),
  };
}

/** An end that is not selected may belong to a tenant that is restored under another value. */
function rewriteOutside(outside: Outside | undefined, { values }: TenantView): Outside {
  const [only] = values.size === 1 ? values.values() : [];
  if (outside === undefined) return only === undefined ? {} : { value: only };
  const { value } = outside;
  return typeof value === 'string' ? { value: values.get(value) ?? value } : outside;
}

function rewriteLabels(labels: readonly string[], { isHidden }: TenantView): readonly string[] {
  return isHidden ? labels.map(hiddenLabel) : labels;
}

function ownText(properties: Properties, name: string): string | undefined {
  const value = Object.hasOwn(properties, name) ? properties[name] : undefined;
  return typeof value === 'string' ? value : undefined;
}

function refused(problem: string, remedy: string): InvalidInputError {
  return new InvalidInputError(`The graph cannot be restored with these options: ${problem}.`, { remedy });
}
