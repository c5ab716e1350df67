import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import { fieldNames, textsIn } from '../content-check.ts';
import type { EncodedLine } from '../line-chunk.ts';
import { RESERVED_PREFIX } from './names.ts';
import type { ReadEnd, ReadNode, ReadRelationship } from './read-record.ts';
import type { Outside } from './scope.ts';
import { decodeProperties, encodeProperties, encodeValue, nameText, type Properties } from './values.ts';

/** A node as stored in a line of the archive. `docs/stores/neo4j.md` describes the lines. */
export interface NodeLine {
  /** ID within the archive: the source's internal ID. */
  readonly id: string;
  readonly labels: readonly string[];
  readonly properties: Properties;
}

/** One end of a relationship. */
export interface EndLine {
  readonly id: string;
  readonly labels: readonly string[];
  /** The scope's key property and its value; empty if the node has no key. */
  readonly properties: Properties;
  /** If the node has no key: digest of its labels and non-list properties. */
  readonly digest: string | undefined;
  /** If the node is outside of a scope that a property defines, which its labels do not show. */
  readonly outside?: Outside | undefined;
}

export interface RelationshipLine {
  readonly id: string;
  readonly type: string;
  readonly properties: Properties;
  readonly start: EndLine;
  readonly end: EndLine;
}

/**
 * Size in bytes, uncompressed, at which an entry of lines is closed: a few seconds of work, and the bound on memory.
 */
export const CHUNK_BYTES = 4 * 1024 ** 2;
/** Capacity of a chunk in bytes: includes the line that crosses the limit, which is never split. */
export const CHUNK_ROOM_BYTES = CHUNK_BYTES + 256 * 1024;

/** Placeholder for a digest if only the length of a line matters. */
const NO_DIGEST = '0'.repeat(32);

/** Encodes a node returned by the server: one JSON object, whose digest excludes the internal ID. */
export function encodeNode(node: ReadNode): EncodedLine {
  const body = nodeBody(node.labels, node.properties);
  return { line: `{"type":"node","id":"${node.id}",${body}}`, canonical: `{${body}}` };
}

/** Encodes a relationship returned by the server, with its ends. */
export function encodeRelationship(
  { id, type, properties, start, end }: ReadRelationship,
  keyProperty: string | undefined,
): EncodedLine {
  const body = relationshipBody(type, properties);
  const startBody = readEndBody(start, keyProperty);
  const endsBody = readEndBody(end, keyProperty);
  return {
    line: `{"type":"relationship","id":"${id}",${body},"start":{"id":"${start.id}",${startBody}},"end":{"id":"${end.id}",${endsBody}}}`,
    canonical: `{${body},"start":{${startBody}},"end":{${endsBody}}}`,
  };
}

/** Encodes a node's line again after a change. */
export function nodeText(node: NodeLine): string {
  return `{"type":"node","id":"${node.id}",${nodeBody(node.labels, node.properties)}}`;
}

/** Encodes a relationship's line again after a change. */
export function relationshipText({ id, type, properties, start, end }: RelationshipLine): string {
  const endText = (line: EndLine) => `{"id":"${line.id}",${endBody(line)}}`;
  return `{"type":"relationship","id":"${id}",${relationshipBody(type, properties)},"start":${endText(start)},"end":${endText(end)}}`;
}

/** The canonical text of a node, from which its digest is computed. */
export function canonicalNode(node: Pick<NodeLine, 'labels' | 'properties'>): string {
  return `{${nodeBody(node.labels, node.properties)}}`;
}

/** The canonical text of a relationship: its ends are identified by labels and key, not by internal IDs. */
export function canonicalRelationship(line: RelationshipLine): string {
  const body = relationshipBody(line.type, line.properties);
  return `{${body},"start":{${endBody(line.start)}},"end":{${endBody(line.end)}}}`;
}

/** The text of a relationship between two nodes of one archive, identified by their archive IDs. */
export function placedRelationship(
  type: string,
  properties: Properties,
  startId: string,
  endId: string,
): string {
  return `{${relationshipBody(type, properties)},"start":${JSON.stringify(startId)},"end":${JSON.stringify(endId)}}`;
}

function nodeBody(labels: readonly string[], properties: Properties): string {
  return `"labels":${labelsJson(labels)},${propertiesBody(properties)}`;
}

function relationshipBody(type: string, properties: Properties): string {
  return `"label":${nameText(type)},${propertiesBody(properties)}`;
}

function endBody(end: Omit<EndLine, 'id'>): string {
  const digest = end.digest === undefined ? '' : `,"digest":"${end.digest}"`;
  return `"labels":${labelsJson(end.labels)},${propertiesBody(end.properties)}${digest}${outsideText(end)}`;
}

function propertiesBody(values: Properties): string {
  const { properties, types } = encodeProperties(values);
  return types === undefined ? `"properties":${properties}` : `"properties":${properties},"types":${types}`;
}

function outsideText({ outside }: Pick<EndLine, 'outside'>): string {
  return outside === undefined ? '' : `,"outside":${JSON.stringify(outside)}`;
}

/** Number of label sets whose text is cached: graphs have few, and every record repeats one. */
const CACHED_LABELS_MAX = 1000;
const labelTexts = new Map<string, string>();
let lastLabels: readonly string[] = [];
let lastLabelsText = '[]';

function labelsJson(labels: readonly string[]): string {
  // The labels usually equal those of the previous record, and comparing is faster than a lookup.
  if (labels.length === lastLabels.length && labels.every((label, at) => label === lastLabels[at])) {
    return lastLabelsText;
  }
  // U+0000 is the one character that a label cannot contain.
  const name = labels.join('\0');
  let text = labelTexts.get(name);
  if (text === undefined) {
    text = JSON.stringify(labels.filter((label) => !label.startsWith(RESERVED_PREFIX)).sort());
    if (labelTexts.size < CACHED_LABELS_MAX) labelTexts.set(name, text);
  }
  lastLabels = labels;
  lastLabelsText = text;
  return text;
}

/** Equals {@link endBody} without the intermediate object: this runs twice per relationship. */
function readEndBody(end: ReadEnd, keyProperty: string | undefined): string {
  const labels = `"labels":${labelsJson(end.labels)}`;
  if (keyProperty !== undefined && end.key !== null) {
    const { json, type } = encodeValue(end.key);
    const name = nameText(keyProperty);
    const types = type === undefined ? '' : `,"types":{${name}:"${type}"}`;
    return `${labels},"properties":{${name}:${json}}${types}${outsideText(end)}`;
  }
  // An end without a digest yet is only measured.
  return `${labels},"properties":{},"digest":"${end.digest ?? NO_DIGEST}"${outsideText(end)}`;
}

/** Parses a node's line. Throws InvalidInputError with the reason. */
export function parseNodeLine(text: string): NodeLine {
  const line = parseLine(text, 'node');
  return { id: idOf(line), labels: labelsOf(line), properties: propertiesOf(line) };
}

/** Parses a relationship's line. Throws InvalidInputError with the reason. */
export function parseRelationshipLine(text: string): RelationshipLine {
  const line = parseLine(text, 'relationship');
  if (typeof line.label !== 'string' || line.label === '') throw malformed('"label" is not a name');
  return {
    id: idOf(line),
    type: line.label,
    properties: propertiesOf(line),
    start: endOf(line.start, 'start'),
    end: endOf(line.end, 'end'),
  };
}

/**
 * The texts in one property of a node or relationship, from its line; each element of a list is one. Reads only as much
 * of the line as this takes, so it is for archives that have been checked. Throws InvalidInputError with the reason.
 */
export function readTexts(text: string, field: string): string[] {
  const names = fieldNames(field);
  if (isOfEnds(field)) return textsIn(withEnds(parseRelationshipLine(text)), field);
  // A name is written without escapes where possible.
  if (!names.every((name) => text.includes(JSON.stringify(name))) && !text.includes('\\')) return [];
  const { properties, types = {} } = parseJson(text);
  // Other types are saved as texts, too, with the name of the type.
  if (names.some((name) => Object.hasOwn(objectOf(types, '"types"'), name))) return [];
  return textsIn(objectOf(properties, '"properties"'), field);
}

/** `start.` or `end.`, with the name of the property. */
const OF_END = /^(start|end)\.(.+)$/s;

/** Whether a field of relationships is one of their ends. */
export function isOfEnds(field: string): boolean {
  return fieldNames(field).every((name) => OF_END.test(name));
}

/** The property of the ends that a pair of their fields names; undefined for other fields. */
export function keyOfEnds(field: string): string | undefined {
  const [start, end] = fieldNames(field).map((name) => OF_END.exec(name));
  return start?.[1] === 'start' && end?.[1] === 'end' && start[2] === end[2] ? start[2] : undefined;
}

/** The properties of a relationship, with those of its ends as `start.<name>` and `end.<name>`. */
export function withEnds({ properties, start, end }: RelationshipLine): Properties {
  const named = (end: string, of: Properties) =>
    Object.entries(of).map(([name, value]) => [`${end}.${name}`, value] as const);
  return Object.fromEntries([
    ...Object.entries(properties),
    ...named('start', start.properties),
    ...named('end', end.properties),
  ]);
}

function parseLine(text: string, type: string): Record<string, unknown> {
  // Only lines marked accordingly contain integers that exceed the precision of a JavaScript number.
  const line = parseJson(text, /"(integer(\[\])?|vector INT64)"/.test(text) ? exactIntegers : undefined);
  if (line.type !== type) throw malformed(`"type" is not "${type}"`);
  return line;
}

function parseJson(text: string, reviver?: typeof exactIntegers): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text, reviver);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw malformed('it is not JSON');
  }
  return objectOf(value, 'the line');
}

/** Returns integers beyond 2^53 as bigint, parsed from the text of the line. */
function exactIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  const isLarge = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  const source = context?.source ?? '';
  return isLarge && /^-?\d{1,19}$/.test(source) ? BigInt(source) : value;
}

function endOf(value: unknown, name: string): EndLine {
  const end = objectOf(value, `"${name}"`);
  const { digest, outside } = end;
  if (digest !== undefined && !(typeof digest === 'string' && /^[0-9a-f]{32}$/.test(digest))) {
    throw malformed(`"digest" of "${name}" is not a digest`);
  }
  return {
    id: idOf(end),
    labels: labelsOf(end),
    properties: propertiesOf(end),
    digest,
    ...(outside === undefined ? {} : { outside: parseOutside(outside, name) }),
  };
}

function parseOutside(outside: unknown, name: string): Outside {
  const { value } = objectOf(outside, `"outside" of "${name}"`);
  if (value === undefined) return {};
  if (value !== null && typeof value !== 'string')
    throw malformed(`"outside" of "${name}" has no valid "value"`);
  return { value };
}

function idOf({ id }: Record<string, unknown>): string {
  if (typeof id !== 'string' || !/^[0-9]{1,19}$/.test(id)) throw malformed('"id" is not a number in quotes');
  return id;
}

function labelsOf({ labels }: Record<string, unknown>): string[] {
  if (!Array.isArray(labels) || !labels.every(isLabel)) {
    throw malformed('"labels" is not a list of names');
  }
  if (labels.some((label: string) => label.startsWith(RESERVED_PREFIX))) {
    throw malformed(`a label starts with ${RESERVED_PREFIX}, which is reserved for ngbak`);
  }
  return labels;
}

/** Neo4j rejects empty names and names that contain U+0000. */
function isLabel(label: unknown): label is string {
  return typeof label === 'string' && label !== '' && !label.includes('\0');
}

function propertiesOf({ properties, types = {} }: Record<string, unknown>): Properties {
  return decodeProperties(objectOf(properties, '"properties"'), objectOf(types, '"types"'));
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(`${what} is not an object`);
  }
  return value as Record<string, unknown>;
}

function malformed(problem: string): InvalidInputError {
  return new InvalidInputError(problem, {
    remedy: ANOTHER_ARCHIVE,
  });
}
