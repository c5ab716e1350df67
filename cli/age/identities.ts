import { open } from 'node:fs/promises';
import type { Decrypter } from 'age-encryption';
import { InvalidInputError } from '../../shared/core/errors.ts';

/** Maximum size of an identity file in bytes. */
const FILE_BYTES_MAX = 1024 ** 2;
/** Maximum number of secret keys: each is tried for each recipient of a file. */
const IDENTITIES_MAX = 100;
const KEYGEN = 'Give a file that `age-keygen -o FILE` wrote.';

/**
 * Reads the secret keys (`AGE-SECRET-KEY-…`) from identity files; `-` is stdin. Errors name file and line, and never
 * repeat a key. Throws InvalidInputError.
 */
export async function readIdentities(files: readonly string[]): Promise<Decrypter> {
  // Imported on demand: other commands must not wait for it.
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  let count = 0;
  for (const file of files) {
    const name = file === '-' ? 'The identity from stdin' : `Identity file ${file}`;
    const before = count;
    for (const [index, text] of (await readText(file, name)).split('\n').entries()) {
      const line = text.trim();
      if (line === '' || line.startsWith('#')) continue;
      try {
        decrypter.addIdentity(line);
      } catch {
        throw invalid(name, index + 1, line);
      }
      if (++count > IDENTITIES_MAX) {
        throw new InvalidInputError(`${name} has more than ${IDENTITIES_MAX} secret keys.`, {
          remedy: 'Give only those that may decrypt the file.',
        });
      }
    }
    if (count === before) throw new InvalidInputError(`${name} has no secret key.`, { remedy: KEYGEN });
  }
  return decrypter;
}

async function readText(file: string, name: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    const handle = file === '-' ? undefined : await open(file, 'r');
    for await (const chunk of handle?.createReadStream() ?? process.stdin) {
      const bytes = Buffer.from(chunk);
      size += bytes.length;
      if (size > FILE_BYTES_MAX) break;
      chunks.push(bytes);
    }
  } catch (cause) {
    throw new InvalidInputError(`${name} can't be read.`, {
      remedy: 'Check its name and permissions.',
      cause,
    });
  }
  if (size > FILE_BYTES_MAX) {
    throw new InvalidInputError(`${name} has more than ${FILE_BYTES_MAX} bytes.`, { remedy: KEYGEN });
  }
  const text = Buffer.concat(chunks).toString();
  if (/^\s*(age-encryption\.org\/|-----BEGIN AGE ENCRYPTED FILE)/.test(text)) {
    throw new InvalidInputError(`${name} is itself encrypted.`, {
      remedy: 'Decrypt it into the command: `age -d KEYFILE | ngbak … --identity -`.',
    });
  }
  return text;
}

function invalid(name: string, line: number, text: string): InvalidInputError {
  const where = `Line ${line} of ${name[0]?.toLowerCase()}${name.slice(1)}`;
  if (/^AGE-PLUGIN-/i.test(text) || text.startsWith('-----BEGIN')) {
    const kind = text.startsWith('-----BEGIN') ? 'an SSH or PEM key' : 'a key of a plugin';
    return new InvalidInputError(`${where} is ${kind}, which ngbak does not support.`, {
      remedy: 'Decrypt the archive with age itself: `age -d -i KEYFILE FILE > backup.ngbak`.',
    });
  }
  return new InvalidInputError(`${where} is not a secret key of age.`, { remedy: KEYGEN });
}
