import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { createRemoteJWKSet, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { z } from 'zod';
import { refusedByRole } from '../core/allowed.ts';
import { NgbakError, UnavailableError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';
import { Id } from '../core/ids.ts';
import { ROLES, type Role } from '../core/roles.ts';
import type { KeyList } from '../operations/operation.ts';
import type { Caller } from './api.ts';

/**
 * The access list, stored in the secret of the API: `{"keys": […], "jwt": …}`. Contains only hashes of keys, never the
 * keys.
 */
export const AccessList = z.strictObject({
  keys: z
    .array(
      z.strictObject({
        /** Name of the caller, for records and audit lines. Two keys may share a name during a rotation. */
        name: Id,
        role: z.enum(ROLES),
        /** SHA-256 of the key in hexadecimal. Keys have 256 random bits, so a slower hash is not needed. */
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
        /** When the key expires. */
        expires_at: z.iso.datetime({ offset: true }).optional(),
      }),
    )
    .max(1000)
    .default([]),
  /** The issuer whose JSON Web Tokens are also accepted. */
  jwt: z
    .strictObject({
      issuer: z.url({ protocol: /^https$/ }),
      audience: z.string().min(1),
      /** Where the issuer publishes its keys. */
      jwks_uri: z.url({ protocol: /^https$/ }),
      /** The claim that contains the role, or a list with it. */
      role_claim: z.string().min(1).default('ngbak_role'),
    })
    .optional(),
});
export type AccessList = z.infer<typeof AccessList>;

/** The access list for callers who may read it: keys without hashes, in the order of the secret. */
export function listKeys({ keys, jwt }: AccessList): KeyList {
  return {
    keys: keys.map(({ name, role, expires_at }) => ({
      name,
      role,
      ...(expires_at === undefined ? {} : { expires_at }),
    })),
    ...(jwt ? { jwt: { issuer: jwt.issuer, audience: jwt.audience, role_claim: jwt.role_claim } } : {}),
  };
}

/** The caller is not authenticated: the API key is missing, invalid or expired. */
export class UnauthenticatedError extends NgbakError {}
/** The caller is authenticated but not allowed to do this. */
export class ForbiddenError extends NgbakError {}
/** The path exists, but does not support this method. */
export class MethodNotAllowedError extends NgbakError {}
/** The caller has exceeded the rate limit. */
export class RateLimitedError extends NgbakError {}

const KEY_PREFIX = 'ngbak_';
/** Maximum length of an accepted `Authorization` header, in characters. JWTs have a few thousand. */
const TOKEN_LENGTH_MAX = 8192;

/** Generates a key, which is shown only once, and its entry for the access list. */
export function newApiKey(name: string, role: Role): { key: string; entry: AccessList['keys'][number] } {
  const key = `${KEY_PREFIX}${randomBytes(32).toString('base64url')}`;
  return { key, entry: { name, role, sha256: hash(key).toString('hex') } };
}

function hash(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** How long the access list is cached, in milliseconds. A revoked key stays valid until then. */
const ACCESS_LIST_MS = 60_000;
/**
 * How long a failure to read the access list is cached, in milliseconds, so that unauthenticated callers cannot cause a
 * call to Secrets Manager each.
 */
const ACCESS_LIST_FAILED_MS = 5_000;

/** A cache of the access list, which also caches failures to read it. */
export class CachedAccessList {
  readonly #load: () => Promise<AccessList>;
  readonly #log: (error: unknown) => void;
  readonly #now: () => number;
  #last: { list: Promise<AccessList>; until: number } | undefined;

  /** @param log  receives the reason why the list can't be read, which unauthenticated callers must not see */
  constructor(load: () => Promise<AccessList>, log: (error: unknown) => void, now: () => number = Date.now) {
    this.#load = load;
    this.#log = log;
    this.#now = now;
  }

  /** Throws UnavailableError if the list can't be read. */
  read(): Promise<AccessList> {
    if (this.#last && this.#now() < this.#last.until) return this.#last.list;
    const entry = { list: this.#try(), until: this.#now() + ACCESS_LIST_MS };
    this.#last = entry;
    entry.list.catch(() => {
      entry.until = this.#now() + ACCESS_LIST_FAILED_MS;
    });
    return entry.list;
  }

  async #try(): Promise<AccessList> {
    try {
      return await this.#load();
    } catch (error) {
      this.#log(error);
      throw new UnavailableError('The list of API keys cannot be read.', {
        remedy: 'The log of the API function says why. Correct the secret of the HTTP API.',
      });
    }
  }
}

/** Authenticates callers by the `Authorization` header. Throws UnauthenticatedError without a specific reason. */
export class Authenticator {
  readonly #read: () => Promise<AccessList>;
  readonly #now: () => number;
  #keySets = new Map<string, JWTVerifyGetKey>();

  /**
   * @param read    returns the access list; called for each request, so it should cache it
   * @param keySet  keys to verify JWTs with, instead of those that the issuer publishes
   */
  constructor(
    read: () => Promise<AccessList>,
    options: { now?: () => number; keySet?: (uri: string) => JWTVerifyGetKey } = {},
  ) {
    this.#read = read;
    this.#now = options.now ?? Date.now;
    this.#keySet = options.keySet ?? ((uri) => createRemoteJWKSet(new URL(uri)));
  }

  readonly #keySet: (uri: string) => JWTVerifyGetKey;

  /** The access list, for callers who may read it. */
  accessList(): Promise<AccessList> {
    return this.#read();
  }

  async authenticate(header: string | undefined): Promise<Caller> {
    const token = /^Bearer ([\x21-\x7e]+)$/i.exec((header ?? '').slice(0, TOKEN_LENGTH_MAX + 7))?.[1];
    if (token === undefined || token.length > TOKEN_LENGTH_MAX) throw unknownCaller();
    const access = await this.#read();
    const caller = token.startsWith(KEY_PREFIX)
      ? this.#byKey(access, token)
      : await this.#byJwt(access, token);
    if (caller) return caller;
    throw unknownCaller();
  }

  #byKey({ keys }: AccessList, token: string): Caller | undefined {
    const presented = hash(token);
    let found: Caller | undefined;
    // Every entry is compared, each in constant time, so that the duration does not reveal how close a guess was.
    for (const { name, role, sha256, expires_at } of keys) {
      const equal = timingSafeEqual(presented, Buffer.from(sha256, 'hex'));
      const valid = expires_at === undefined || this.#now() < Date.parse(expires_at);
      if (equal && valid) found = { name, role };
    }
    return found;
  }

  async #byJwt({ jwt }: AccessList, token: string): Promise<Caller | undefined> {
    if (!jwt) return undefined;
    const keys = this.#keySets.get(jwt.jwks_uri) ?? this.#keySet(jwt.jwks_uri);
    this.#keySets.set(jwt.jwks_uri, keys);
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: jwt.issuer,
        audience: jwt.audience,
        algorithms: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA'],
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(this.#now()),
      });
      const claim = payload[jwt.role_claim];
      const claimed: unknown[] = Array.isArray(claim) ? claim : [claim];
      const role = ROLES.toReversed().find((name) => claimed.includes(name));
      return role && { name: `jwt:${payload.sub}`.slice(0, 200), role };
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}

function unknownCaller(): UnauthenticatedError {
  return new UnauthenticatedError('Missing or invalid API key.', {
    remedy: 'Send "Authorization: Bearer <key>" with a key that an administrator gave you.',
    help: HELP.apiKey,
  });
}

/** Throws ForbiddenError if the caller's role is lower than `needed`. */
export function requireRole(caller: Caller, needed: Role): void {
  const refusal = refusedByRole(needed, caller);
  if (refusal) throw new ForbiddenError(refusal.message, { remedy: refusal.remedy });
}
