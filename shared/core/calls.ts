/**
 * Every operation of the HTTP API by name: its method and path below `/api/v1`, where its input travels, and whether it takes
 * an idempotency key. The API, both clients of the command line and the dashboard's client take them from here; what an
 * operation does, and the types of its input and output, are in `operations/table.ts`.
 */
export const CALLS = {
  startBackup: { method: 'POST', path: '/backup', input: 'body', once: true },
  listBackups: { method: 'GET', path: '/backup', input: 'query' },
  prune: { method: 'POST', path: '/backup/prune', input: 'body' },
  showBackup: { method: 'GET', path: '/backup/{id}' },
  listContents: { method: 'GET', path: '/backup/{id}/contents', input: 'query' },
  showManifest: { method: 'GET', path: '/backup/{id}/manifest' },
  // Not as a redirect: it would carry the key of the API to S3.
  downloadBackup: {
    method: 'GET',
    path: '/backup/{id}/download',
    input: 'query',
    always: { redirect: 'false' },
  },
  updateBackup: { method: 'PATCH', path: '/backup/{id}', input: 'body' },
  acknowledgeWarnings: { method: 'POST', path: '/backup/{id}/acknowledge', input: 'body' },
  deleteBackup: { method: 'DELETE', path: '/backup/{id}' },
  verifyBackup: { method: 'POST', path: '/backup/{id}/verify', input: 'body' },
  restore: { method: 'POST', path: '/restore', input: 'body', once: true },
  listUpload: { method: 'GET', path: '/restore/{job}/parts', input: 'query' },
  presignParts: { method: 'POST', path: '/restore/{job}/parts', input: 'body' },
  completeUpload: { method: 'POST', path: '/restore/{job}/complete' },
  confirmRestore: { method: 'POST', path: '/restore/{job}/confirm', input: 'body' },
  changeRestoreOptions: { method: 'POST', path: '/restore/{job}/options', input: 'body' },
  attachDeferred: { method: 'POST', path: '/restore/{job}/attach', input: 'body', once: true },
  rejectRestore: { method: 'POST', path: '/restore/{job}/reject', input: 'body' },
  listJobs: { method: 'GET', path: '/jobs', input: 'query' },
  showJob: { method: 'GET', path: '/jobs/{job}' },
  cancelJob: { method: 'POST', path: '/jobs/{job}/cancel' },
  listSchedules: { method: 'GET', path: '/schedules' },
  createSchedule: { method: 'POST', path: '/schedules', input: 'body' },
  showSchedule: { method: 'GET', path: '/schedules/{name}' },
  changeSchedule: { method: 'PATCH', path: '/schedules/{name}', input: 'body' },
  removeSchedule: { method: 'DELETE', path: '/schedules/{name}' },
  runSchedule: { method: 'POST', path: '/schedules/{name}/run', once: true },
  showRetention: { method: 'GET', path: '/retention' },
  setRetention: { method: 'PUT', path: '/retention', input: 'body' },
  resetRetention: { method: 'DELETE', path: '/retention', input: 'query' },
  health: { method: 'GET', path: '/health' },
  metrics: { method: 'GET', path: '/metrics' },
  me: { method: 'GET', path: '/me' },
  keys: { method: 'GET', path: '/keys' },
  deployment: { method: 'GET', path: '/deployment' },
  overview: { method: 'GET', path: '/overview' },
  recoverability: { method: 'GET', path: '/recoverability', input: 'query' },
} as const satisfies Record<string, CallShape>;

export interface CallShape {
  readonly method: 'DELETE' | 'GET' | 'PATCH' | 'POST' | 'PUT';
  readonly path: `/${string}`;
  readonly input?: 'body' | 'query';
  readonly once?: true;
  /** What clients add to the query. */
  readonly always?: Readonly<Record<string, string>>;
}

export type Calls = typeof CALLS;
export type CallName = keyof Calls;

/** What the arguments of a client's function are, which leave out what an operation does not have. */
export function argumentsOf(
  name: CallName,
  args: readonly unknown[],
): {
  /** The part of the path in braces; '' where it has none. */
  readonly id: string;
  readonly input: object | undefined;
  /** An idempotency key where the operation takes one, a signal for all others. */
  readonly last: unknown;
} {
  const { path, input }: CallShape = CALLS[name];
  const left = [...args];
  return {
    id: path.includes('{') ? String(left.shift()) : '',
    input: input === undefined ? undefined : (left.shift() as object | undefined),
    last: left.shift(),
  };
}

/** A call as it is sent. */
export interface CallRequest {
  readonly method: CallShape['method'];
  /** Below `/api/v1`, with the query. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
  readonly last: unknown;
}

/** The request that the arguments of a client's function make. */
export function requestOf(name: CallName, args: readonly unknown[]): CallRequest {
  const { method, path, input: where, always }: CallShape = CALLS[name];
  const { id, input, last } = argumentsOf(name, args);
  const filled = path.replace(/\{\w+\}/, encodeURIComponent(id));
  if (where === 'query') return { method, path: filled + queryOf({ ...input, ...always }), last };
  return { method, path: filled, ...(input === undefined ? {} : { body: input }), last };
}

function queryOf(input: object): string {
  const given = Object.entries(input).filter(([, value]) => value !== undefined);
  // A list is the same name several times.
  const pairs = given.flatMap(([key, value]) => [value].flat().map((one) => [key, String(one)]));
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`;
}

/** A function for each call, made by what sends one. Its types are those of `Client` in `operations/table.ts`. */
export function clientOf<Client extends Record<CallName, unknown>>(
  send: (name: CallName, args: readonly unknown[]) => Promise<unknown>,
): Client {
  const names = Object.keys(CALLS) as CallName[];
  return Object.fromEntries(names.map((name) => [name, (...args: unknown[]) => send(name, args)])) as Client;
}
