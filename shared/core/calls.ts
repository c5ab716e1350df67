import type { Role } from './roles.ts';

/**
 * Every operation of the HTTP API by name: its method, its path below `/api/v1`, the role that it requires, where its
 * input is sent, and whether it takes an idempotency key. Shared by the API, both clients of the command line and the
 * dashboard's client. The behaviour of an operation and the types of its input and output are in
 * `operations/table.ts`.
 */
export const CALLS = {
  startBackup: { method: 'POST', path: '/backup', input: 'body', once: true, role: 'operator' },
  listBackups: { method: 'GET', path: '/backup', input: 'query', role: 'viewer' },
  prune: { method: 'POST', path: '/backup/prune', input: 'body', role: 'viewer' },
  showBackup: { method: 'GET', path: '/backup/{id}', role: 'viewer' },
  listContents: { method: 'GET', path: '/backup/{id}/contents', input: 'query', role: 'viewer' },
  showManifest: { method: 'GET', path: '/backup/{id}/manifest', role: 'viewer' },
  // Not a redirect: the client would send the API key to S3.
  downloadBackup: {
    method: 'GET',
    path: '/backup/{id}/download',
    input: 'query',
    always: { redirect: 'false' },
    role: 'operator',
  },
  updateBackup: { method: 'PATCH', path: '/backup/{id}', input: 'body', role: 'operator' },
  acknowledgeWarnings: { method: 'POST', path: '/backup/{id}/acknowledge', input: 'body', role: 'operator' },
  deleteBackup: { method: 'DELETE', path: '/backup/{id}', role: 'admin' },
  thawBackup: { method: 'POST', path: '/backup/{id}/thaw', input: 'body', role: 'operator' },
  verifyBackup: { method: 'POST', path: '/backup/{id}/verify', input: 'body', role: 'operator' },
  diffBackups: { method: 'POST', path: '/backup/{id}/diff', input: 'body', role: 'operator' },
  restore: { method: 'POST', path: '/restore', input: 'body', once: true, role: 'operator' },
  listUpload: { method: 'GET', path: '/restore/{job}/parts', input: 'query', role: 'viewer' },
  presignParts: { method: 'POST', path: '/restore/{job}/parts', input: 'body', role: 'operator' },
  completeUpload: { method: 'POST', path: '/restore/{job}/complete', role: 'operator' },
  confirmRestore: { method: 'POST', path: '/restore/{job}/confirm', input: 'body', role: 'operator' },
  changeRestoreOptions: { method: 'POST', path: '/restore/{job}/options', input: 'body', role: 'operator' },
  attachDeferred: {
    method: 'POST',
    path: '/restore/{job}/attach',
    input: 'body',
    once: true,
    role: 'operator',
  },
  startDrill: { method: 'POST', path: '/drills', input: 'body', once: true, role: 'operator' },
  listDrills: { method: 'GET', path: '/drills', input: 'query', role: 'viewer' },
  showDrill: { method: 'GET', path: '/drills/{job}', role: 'viewer' },
  rejectRestore: { method: 'POST', path: '/restore/{job}/reject', input: 'body', role: 'operator' },
  listJobs: { method: 'GET', path: '/jobs', input: 'query', role: 'viewer' },
  showJob: { method: 'GET', path: '/jobs/{job}', role: 'viewer' },
  cancelJob: { method: 'POST', path: '/jobs/{job}/cancel', role: 'operator' },
  listSchedules: { method: 'GET', path: '/schedules', role: 'viewer' },
  createSchedule: { method: 'POST', path: '/schedules', input: 'body', role: 'operator' },
  showSchedule: { method: 'GET', path: '/schedules/{name}', role: 'viewer' },
  changeSchedule: { method: 'PATCH', path: '/schedules/{name}', input: 'body', role: 'operator' },
  removeSchedule: { method: 'DELETE', path: '/schedules/{name}', role: 'operator' },
  runSchedule: { method: 'POST', path: '/schedules/{name}/run', once: true, role: 'operator' },
  showRetention: { method: 'GET', path: '/retention', role: 'viewer' },
  setRetention: { method: 'PUT', path: '/retention', input: 'body', role: 'admin' },
  resetRetention: { method: 'DELETE', path: '/retention', input: 'query', role: 'admin' },
  health: { method: 'GET', path: '/health', role: 'viewer' },
  metrics: { method: 'GET', path: '/metrics', role: 'viewer' },
  showNotifications: { method: 'GET', path: '/notifications', role: 'viewer' },
  testNotifications: { method: 'POST', path: '/notifications/test', role: 'operator' },
  me: { method: 'GET', path: '/me' },
  keys: { method: 'GET', path: '/keys', role: 'admin' },
  signingKey: { method: 'GET', path: '/signing-key', role: 'viewer' },
  deployment: { method: 'GET', path: '/deployment', role: 'viewer' },
  overview: { method: 'GET', path: '/overview', role: 'viewer' },
  recoverability: { method: 'GET', path: '/recoverability', input: 'query', role: 'viewer' },
  costs: { method: 'POST', path: '/costs', input: 'body', role: 'viewer' },
  calendar: { method: 'GET', path: '/calendar', input: 'query', role: 'viewer' },
} as const satisfies Record<string, CallShape>;

export interface CallShape {
  readonly method: 'DELETE' | 'GET' | 'PATCH' | 'POST' | 'PUT';
  readonly path: `/${string}`;
  /** The required role; absent: any valid key. Some inputs require a higher role: `Call.allow`. */
  readonly role?: Role;
  readonly input?: 'body' | 'query';
  readonly once?: true;
  /** Query parameters that clients always add. */
  readonly always?: Readonly<Record<string, string>>;
}

export type Calls = typeof CALLS;
export type CallName = keyof Calls;

/** Assigns the arguments of a client's function, which omit the ones that an operation does not have. */
export function argumentsOf(
  name: CallName,
  args: readonly unknown[],
): {
  /** The path parameter in braces; '' if the path has none. */
  readonly id: string;
  readonly input: object | undefined;
  /** An idempotency key if the operation takes one, otherwise a signal. */
  readonly last: unknown;
} {
  const { path, input }: CallShape = CALLS[name];
  const remaining = [...args];
  return {
    id: path.includes('{') ? String(remaining.shift()) : '',
    input: input === undefined ? undefined : (remaining.shift() as object | undefined),
    last: remaining.shift(),
  };
}

/** The HTTP request of a call. */
export interface CallRequest {
  readonly method: CallShape['method'];
  /** Below `/api/v1`, with the query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
  readonly last: unknown;
}

/** Builds the request from the arguments of a client's function. */
export function requestOf(name: CallName, args: readonly unknown[]): CallRequest {
  const { method, path, input: where, always }: CallShape = CALLS[name];
  const { id, input, last } = argumentsOf(name, args);
  const filled = path.replace(/\{\w+\}/, encodeURIComponent(id));
  if (where === 'query') return { method, path: filled + queryOf({ ...input, ...always }), last };
  return { method, path: filled, ...(input === undefined ? {} : { body: input }), last };
}

function queryOf(input: object): string {
  const given = Object.entries(input).filter(([, value]) => value !== undefined);
  // A list becomes one parameter for each element.
  const pairs = given.flatMap(([key, value]) => [value].flat().map((one) => [key, String(one)]));
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`;
}

/**
 * A client with one function for each call, which `send` carries out. Its types are those of `Client` in
 * `operations/table.ts`.
 */
export function clientOf<Client extends Record<CallName, unknown>>(
  send: (name: CallName, args: readonly unknown[]) => Promise<unknown>,
): Client {
  const names = Object.keys(CALLS) as CallName[];
  return Object.fromEntries(names.map((name) => [name, (...args: unknown[]) => send(name, args)])) as Client;
}
