import { randomUUID } from 'node:crypto';
import {
  GetSecretValueCommand,
  InvalidParameterException,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { ConflictError } from '../aws/bucket.ts';
import { NgbakError } from '../core/errors.ts';
import { parseJson } from '../core/input.ts';
import { NotFoundError } from '../core/refusals.ts';
import { retry } from '../core/retry.ts';
import type { Role } from '../core/roles.ts';
import { AccessList, newApiKey } from './access.ts';

/** Staging label of a version that is written but not yet current. */
const PENDING = 'ngbak-pending';
const CURRENT = 'AWSCURRENT';
/** Attempts of a change while others change the list as well. */
const SIMULTANEOUS = { attempts: 5, firstMs: 20 };

type Entry = AccessList['keys'][number];

/**
 * The secret with the access list of the HTTP API. A change becomes current only if the list has not been changed since
 * it was read: the staging label is moved from exactly that version (Secrets Manager, UpdateSecretVersionStage).
 */
export class SavedAccessList {
  readonly #id: string;
  readonly #client: SecretsManagerClient;

  constructor(id: string, client = new SecretsManagerClient({})) {
    this.#id = id;
    this.#client = client;
  }

  /** The entries of the keys, without anything that could be used as a key. */
  async keys(): Promise<readonly Entry[]> {
    return (await this.#read()).list.keys;
  }

  /** Adds a key and returns it. It cannot be read again. */
  async add(name: string, role: Role, expires_at?: string): Promise<string> {
    const { key, entry } = newApiKey(name, role);
    const added = { ...entry, ...(expires_at === undefined ? {} : { expires_at }) };
    await this.#change((keys) => [...keys, added]);
    return key;
  }

  /**
   * Removes every key of that name, or the one with that fingerprint. Returns the number removed. Throws NotFoundError.
   */
  async revoke(which: string): Promise<number> {
    let removed = 0;
    await this.#change((keys) => {
      const kept = keys.filter((entry) => !isKey(entry, which));
      removed = keys.length - kept.length;
      if (removed === 0) throw unknownKey(which);
      return kept;
    });
    return removed;
  }

  /**
   * Adds another key of the same name and role. The existing ones expire at `until`, unless they expire earlier. Throws
   * NotFoundError, and NgbakError if keys of that name have different roles.
   */
  async rotate(name: string, until: Date): Promise<{ key: string; role: Role }> {
    let rotated: { key: string; role: Role } | undefined;
    await this.#change((keys) => {
      const old = keys.filter((entry) => entry.name === name);
      const [first] = old;
      if (!first) throw unknownKey(name);
      if (old.some(({ role }) => role !== first.role)) {
        throw new NgbakError(`The keys of "${name}" have several roles.`, {
          remedy: 'Revoke the others by their fingerprints first: `ngbak key list`.',
        });
      }
      const { key, entry } = newApiKey(name, first.role);
      rotated = { key, role: first.role };
      const expire = (one: Entry): Entry => {
        const ends = one.expires_at === undefined ? until : new Date(one.expires_at);
        return { ...one, expires_at: (ends < until ? ends : until).toISOString() };
      };
      return [...keys.map((one) => (one.name === name ? expire(one) : one)), entry];
    });
    if (!rotated) throw new TypeError('no change was made');
    return rotated;
  }

  async #read(): Promise<{ list: AccessList; version: string }> {
    const { SecretString = '', VersionId = '' } = await this.#client.send(
      new GetSecretValueCommand({ SecretId: this.#id }),
    );
    return { list: parseJson(AccessList, SecretString, 'The secret of the HTTP API'), version: VersionId };
  }

  async #change(change: (keys: readonly Entry[]) => Entry[]): Promise<void> {
    try {
      await retry(() => this.#tryChange(change), {
        ...SIMULTANEOUS,
        isTransient: (error) => error instanceof InvalidParameterException,
      });
    } catch (error) {
      if (!(error instanceof InvalidParameterException)) throw error;
      throw new ConflictError('The list of API keys was modified concurrently.', { remedy: 'Try again.' });
    }
  }

  /** Throws InvalidParameterException if the list was changed concurrently. */
  async #tryChange(change: (keys: readonly Entry[]) => Entry[]): Promise<void> {
    const { list, version } = await this.#read();
    const keys = AccessList.shape.keys.parse(change(list.keys));
    const { VersionId } = await this.#client.send(
      new PutSecretValueCommand({
        SecretId: this.#id,
        SecretString: JSON.stringify({ ...list, keys }),
        ClientRequestToken: randomUUID(),
        VersionStages: [PENDING],
      }),
    );
    await this.#client.send(
      new UpdateSecretVersionStageCommand({
        SecretId: this.#id,
        VersionStage: CURRENT,
        MoveToVersionId: VersionId,
        RemoveFromVersionId: version,
      }),
    );
  }
}

/** Identifies a key in a list without being usable as one: the beginning of its hash. */
export function fingerprint({ sha256 }: Pick<Entry, 'sha256'>): string {
  return sha256.slice(0, 12);
}

function isKey(entry: Entry, which: string): boolean {
  return entry.name === which || fingerprint(entry) === which;
}

function unknownKey(which: string): NotFoundError {
  return new NotFoundError(`There is no key "${which}".`, { remedy: 'List the keys with `ngbak key list`.' });
}
