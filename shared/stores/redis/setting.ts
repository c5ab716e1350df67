import { InvalidInputError } from '../../core/errors.ts';
import { bytesOf, listOf, type RedisClient } from './client.ts';

/** Maximum number of fields in a hash with settings. */
const FIELDS_MAX = 1000;

/** Reads a string or a hash of settings by its name; see `Store.setting`. */
export async function readSetting(
  client: RedisClient,
  name: string,
  bytesMax: number,
): Promise<string | Record<string, string> | undefined> {
  const key = Buffer.from(name, 'utf8');
  const node = await client.nodeOf(key);
  const type = String(await client.call(node, 'TYPE', key));
  if (type === 'none') return undefined;
  const refuse = (problem: string) =>
    new InvalidInputError(`${client.name}: key "${name}" ${problem}.`, {
      remedy: 'Leave it out of "configuration_from".',
    });
  const tooLarge = () => refuse(`has more than ${bytesMax} bytes`);
  if (type === 'string') {
    if (Number(await client.call(node, 'STRLEN', key)) > bytesMax) throw tooLarge();
    const value = await client.call(node, 'GET', key);
    return value === null ? undefined : bytesOf(value).toString('utf8');
  }
  if (type !== 'hash') throw refuse(`is a ${type}, neither a string nor a hash`);
  if (Number(await client.call(node, 'HLEN', key)) > FIELDS_MAX) {
    throw refuse(`has more than ${FIELDS_MAX} fields`);
  }
  const fields = listOf(await client.call(node, 'HKEYS', key)).map(bytesOf);
  const settings: Record<string, string> = {};
  let bytes = 0;
  for (const field of fields) {
    bytes += field.length + Number(await client.call(node, 'HSTRLEN', key, field));
    if (bytes > bytesMax) throw tooLarge();
    const value = await client.call(node, 'HGET', key, field);
    if (value !== null) settings[field.toString('utf8')] = bytesOf(value).toString('utf8');
  }
  return settings;
}
