import { gunzipSync, gzipSync } from 'node:zlib';
import { NgbakConfig } from './config.ts';
import { InvalidInputError } from './errors.ts';
import { parseJson } from './input.ts';

/** Prefix of a compressed configuration: gzip as base64. */
const COMPRESSED = 'gzip:';
/** Largest configuration after decompression, in bytes: far more than an environment holds at the best compression. */
const TEXT_BYTES_MAX = 4 * 1024 ** 2;
const REMEDY = 'Deploy the stack again: it writes this variable from the "ngbak" key of cdk.json.';

/**
 * The text of `NGBAK_CONFIG`: plain JSON if it has at most `room` bytes, compressed otherwise. The size of an
 * environment is limited, and configurations compress well because their targets are similar.
 */
export function configText(config: object, room: number): string {
  const text = JSON.stringify(config);
  return Buffer.byteLength(text) <= room
    ? text
    : COMPRESSED + gzipSync(text, { level: 9 }).toString('base64');
}

/** Reads the configuration from this function's environment. Throws InvalidInputError. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): NgbakConfig {
  const text = environment.NGBAK_CONFIG ?? '';
  const where = 'Configuration in NGBAK_CONFIG';
  if (!text.startsWith(COMPRESSED)) return parseJson(NgbakConfig, text, where, REMEDY);
  const packed = Buffer.from(text.slice(COMPRESSED.length), 'base64');
  let unpacked: string;
  try {
    unpacked = gunzipSync(packed, { maxOutputLength: TEXT_BYTES_MAX }).toString('utf8');
  } catch (cause) {
    throw new InvalidInputError(`${where} cannot be unpacked.`, { remedy: REMEDY, cause });
  }
  return parseJson(NgbakConfig, unpacked, where, REMEDY);
}
