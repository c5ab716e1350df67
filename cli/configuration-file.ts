import { readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { InvalidInputError } from '../shared/core/errors.ts';
import { parseInput, parseJson } from '../shared/core/input.ts';
import type { Json } from '../shared/core/json.ts';

/** The file that the CDK reads. */
export const CDK_FILE = join(resolve(import.meta.dirname, '..'), 'cdk.json');

/** Any object in JSON. */
export const JsonObject = z.record(z.string(), z.json());

/** The file of a configuration, and the value of "ngbak" in it. */
export interface ConfigurationFile {
  readonly ngbak: Record<string, Json>;
  /** Replaces the value. */
  write(ngbak: Record<string, Json>): Promise<void>;
}

/**
 * Reads cdk.json, which has the keys "app" and "context", or another file with the value of "ngbak" alone. Throws
 * InvalidInputError.
 *
 * @param options.isNew  whether the file may be missing, and is then created
 */
export async function openConfiguration(
  path: string,
  { isNew = false }: { readonly isNew?: boolean } = {},
): Promise<ConfigurationFile> {
  const file = resolve(path);
  const text = await readFile(file, 'utf8').catch((cause) => {
    if (isNew && cause.code === 'ENOENT') return '{}';
    throw new InvalidInputError(`${path} cannot be read.`, {
      remedy: 'Give a JSON file with what docs/deploy.md shows under "ngbak".',
      cause,
    });
  });
  const whole = parseJson(JsonObject, text, path);
  const isCdk = Object.hasOwn(whole, 'context') || Object.hasOwn(whole, 'app');
  const context = isCdk ? parseInput(JsonObject, whole.context ?? {}, `"context" in ${path}`) : undefined;
  return {
    ngbak: parseInput(JsonObject, (context ? context.ngbak : whole) ?? {}, `"ngbak" in ${path}`),
    async write(changed) {
      const written = context ? { ...whole, context: { ...context, ngbak: changed } } : changed;
      // The file is complete at any moment.
      await writeFile(`${file}.new`, `${JSON.stringify(written, null, 2)}\n`);
      await rename(`${file}.new`, file);
    },
  };
}
