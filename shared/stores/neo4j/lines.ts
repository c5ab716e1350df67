import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import type { EncodedLine } from '../line-chunk.ts';
import { RESERVED_PREFIX } from './names.ts';
import type { ReadEnd, ReadNode, ReadRelationship } from './read-record.ts';
import { decodeProperties, encodeProperties, encodeValue, nameText, type Properties } from './values.ts';

/** A node as a line of the archive holds it. `docs/stores/neo4j.md` describes the lines. */
export interface NodeLine {
  /** Id within the archive: the source's internal id. */
  readonly id: string;
  readonly labels: readonly string[];
  readonly properties: Properties;
}

/** One end of a relationship. */
export interface EndLine {
  readonly id: string;
  readonly labels: readonly string[];
  /** The scope's key property and its value; empty where the node has none. */
  readonly properties: Properties;
  /** If the node has no key: digest of its labels and of its properties that are not lists. */
  readonly digest: string | undefined;
}

export interface RelationshipLine {
  readonly id: string;
  readonly type: string;
  readonly properties: Properties;
  readonly start: EndLine;
  readonly end: EndLine;
}

/** An entry of lines is closed once it has this many bytes, uncompressed: a few seconds of work, and all that is held. */
export const CHUNK_BYTES = 4 * 1024 ** 2;
/** Room of a chunk, in bytes: the line that makes it full is whole. */
export const CHUNK_ROOM_BYTES = CHUNK_BYTES + 256 * 1024;

/** Stands in for a digest where only the length of a line matters. */
const NO_DIGEST = '0'.repeat(32);

/** Encodes a node that the server handed out: one JSON object, digested without its internal id. */
export function encodeNode(node: ReadNode): EncodedLine {
  const body = nodeBody(node.labels, node.properties);
  return { line: `{"type":"node","id":"${node.id}",${body}}`, canonical: `{${body}}` };
}

/** Encodes a relationship that the server handed out, with its ends. */
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

/** A node's line again, after it was changed. */
export function nodeText(node: NodeLine): string {
  return `{"type":"node","id":"${node.id}",${nodeBody(node.labels, node.properties)}}`;
}

/** A relationship's line again, after it was changed. */
export function relationshipText({ id, type, properties, start, end }: RelationshipLine): string {
  const endText = (line: EndLine) => `{"id":"${line.id}",${endBody(line)}}`;
  return `{"type":"relationship","id":"${id}",${relationshipBody(type, properties)},"start":${endText(start)},"end":${endText(end)}}`;
}

/** The text that a node's digest is taken over. */
export function canonicalNode(node: Pick<NodeLine, 'labels' | 'properties'>): string {
  return `{${nodeBody(node.labels, node.properties)}}`;
}

/** The text that a relationship's digest is taken over: its ends named by labels and key, not by internal ids. */
export function canonicalRelationship(line: RelationshipLine): string {
  const body = relationshipBody(line.type, line.properties);
  return `{${body},"start":{${endBody(line.start)}},"end":{${endBody(line.end)}}}`;
}

/** The text of a relationship between two nodes of one archive, whose ids it names. */
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
  return `"labels":${labelsJson(end.labels)},${propertiesBody(end.properties)}${digest}`;
}

function propertiesBody(values: Properties): string {
  const { properties, types } = encodeProperties(values);
  return types === undefined ? `"properties":${properties}` : `"properties":${properties},"types":${types}`;
}

/** Sets of labels whose text is kept: graphs have few, and every record repeats one. */
const LABELS_KEPT_MAX = 1000;
const labelTexts = new Map<string, string>();
let lastLabels: readonly string[] = [];
let lastLabelsText = '[]';

function labelsJson(labels: readonly string[]): string {
  // Most often they are those of the record before, and comparing is faster than looking them up.
  if (labels.length === lastLabels.length && labels.every((label, at) => label === lastLabels[at])) {
    return lastLabelsText;
  }
  // U+0000 is the one character that no label holds.
  const name = labels.join('\0');
  let text = labelTexts.get(name);
  if (text === undefined) {
    text = JSON.stringify(labels.filter((label) => !label.startsWith(RESERVED_PREFIX)).sort());
    if (labelTexts.size < LABELS_KEPT_MAX) labelTexts.set(name, text);
  }
  lastLabels = labels;
  lastLabelsText = text;
  return text;
}

/** As {@link endBody}, without the detour over an object: this is done twice for every relationship. */
function readEndBody(end: ReadEnd, keyProperty: string | undefined): string {
  const labels = `"labels":${labelsJson(end.labels)}`;
  if (keyProperty !== undefined && end.key !== null) {
    const { json, type } = encodeValue(end.key);
    const name = nameText(keyProperty);
    const types = type === undefined ? '' : `,"types":{${name}:"${type}"}`;
    return `${labels},"properties":{${name}:${json}}${types}`;
  }
  // An end that nobody looked up is only measured.
  return `${labels},"properties":{},"digest":"${end.digest ?? NO_DIGEST}"`;
}

/** Reads a node's line back. Throws InvalidInputError that says what is wrong with it. */
export function parseNodeLine(text: string): NodeLine {
  const line = parseLine(text, 'node');
  return { id: idOf(line), labels: labelsOf(line), properties: propertiesOf(line) };
}

/** Reads a relationship's line back. Throws InvalidInputError that says what is wrong with it. */
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

function parseLine(text: string, type: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
    // Only lines that say so hold integers that a JSON number of JavaScript can't.
    if (/"(integer(\[\])?|vector INT64)"/.test(text)) value = JSON.parse(text, exactIntegers);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw malformed('it is not JSON');
  }
  const line = objectOf(value, 'the line');
  if (line.type !== type) throw malformed(`"type" is not "${type}"`);
  return line;
}

/** Gives integers beyond 2^53 as bigint, read from the text of the line. */
function exactIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  const isLarge = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  const source = context?.source ?? '';
  return isLarge && /^-?\d{1,19}$/.test(source) ? BigInt(source) : value;
}

function endOf(value: unknown, name: string): EndLine {
  const end = objectOf(value, `"${name}"`);
  const { digest } = end;
  if (digest !== undefined && !(typeof digest === 'string' && /^[0-9a-f]{32}$/.test(digest))) {
    throw malformed(`"digest" of "${name}" is not a digest`);
  }
  return { id: idOf(end), labels: labelsOf(end), properties: propertiesOf(end), digest };
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

/** Neo4j takes no empty names and none with U+0000. */
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
