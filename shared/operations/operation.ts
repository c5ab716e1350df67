import { z } from 'zod';
import type { CallName, Calls } from '../core/calls.ts';
import { ROLES, type Role } from '../core/roles.ts';
import type { OperationsContext } from './context.ts';

/** Who may call the API, without anything that could be used as a key. */
export const KeyList = z.object({
  /** In the order of the secret. Contains neither keys nor their hashes. */
  keys: z.array(
    z.object({
      name: z.string(),
      role: z.enum(ROLES),
      expires_at: z.iso.datetime({ offset: true }).optional(),
    }),
  ),
  /** The issuer whose JSON Web Tokens are also accepted. */
  jwt: z.object({ issuer: z.string(), audience: z.string(), role_claim: z.string() }).optional(),
});
export type KeyList = z.infer<typeof KeyList>;

/** The caller. */
export const Me = z.object({
  /** The key's name, or `jwt:` with the token's subject. */
  name: z.string(),
  role: z.enum(ROLES),
});
export type Me = z.infer<typeof Me>;

/** What an operation receives in addition to its input. */
export interface OperationCall {
  readonly context: OperationsContext;
  /** The recorded requester, and the idempotency key if there is one. */
  readonly by: { readonly requestedBy: string; readonly idempotencyKey?: string | undefined };
  readonly caller: Me;
  /** Throws unless the caller has that role. For inputs that require a higher role than the operation itself. */
  allow(role: Role): void;
  /** Milliseconds until the response is due. */
  timeLeft(): number;
  accessList(): Promise<KeyList>;
  readonly signal?: AbortSignal;
  progress?(done: number, total: number): void;
}

/** One operation: its input, and its implementation. Method, path and role are in `core/calls.ts`. */
export interface Operation<In extends z.ZodType, Out extends z.ZodType> {
  readonly summary: string;
  readonly description?: string;
  /** The path parameter. */
  readonly id?: z.ZodType<string>;
  /** Query or body. */
  readonly input?: In;
  /** The body may be omitted, since every field has a sensible default. */
  readonly bodyOptional?: boolean;
  /** Subject to the rate limit of calls that start work, delete or verify. */
  readonly rateLimited?: boolean;
  readonly output: Out;
  /** Status of a successful response. Default: 200. */
  readonly status?: 200 | 201 | 202;
  /** Description of the response. */
  readonly returns?: string;
  /** Instead of `status` and `answer` if there are several. */
  readonly responses?: Readonly<Record<201 | 202, { readonly returns: string; readonly output: z.ZodType }>>;
  statusOf?(input: z.output<In>): 201 | 202;
  /** Content type of a text response. */
  readonly text?: string;
  /** Where the response redirects to. Undefined if it is sent as JSON. */
  redirect?(output: z.output<Out>, input: z.output<In>): string | undefined;
  run(call: OperationCall, id: string, input: z.output<In>): Promise<z.output<Out>> | z.output<Out>;
}

/** Infers the types of an operation. */
export function operation<Out extends z.ZodType, In extends z.ZodType = z.ZodUndefined>(
  parts: Operation<In, Out>,
): Operation<In, Out> {
  return parts;
}

type Path<Name extends CallName> = Calls[Name]['path'] extends `${string}{${string}` ? [id: string] : [];
type Input<Name extends CallName, In extends z.ZodType> = Calls[Name] extends { readonly input: string }
  ? Record<never, never> extends z.input<In>
    ? [input?: z.input<In>]
    : [input: z.input<In>]
  : [];
type Last<Name extends CallName> = Calls[Name] extends { readonly once: true }
  ? [idempotencyKey?: string]
  : [signal?: AbortSignal];

/**
 * A function for each operation of a table. It takes the id in the path, the input, and an idempotency key or a signal.
 */
export type ClientOf<Table> = {
  [Name in CallName & keyof Table]: Table[Name] extends Operation<infer In, infer Out>
    ? (...args: [...Path<Name>, ...Input<Name, In>, ...Last<Name>]) => Promise<z.output<Out>>
    : never;
};
