import { z } from 'zod';
import { SERVICE_NAMES } from './services/service.ts';
import { StackName, StackState } from './state.ts';

/**
 * The protocol between the process that requests a stack and the supervisor that owns it: lines of JSON on the
 * supervisor's standard input and output. The first line of input is a request. `keep` makes the stack independent of
 * the requesting process; before that, the end of the input, for any reason, ends the stack.
 */
export const StackRequest = z.object({
  name: StackName,
  services: z.array(z.enum(SERVICE_NAMES)),
});
export type StackRequest = z.infer<typeof StackRequest>;

/** The line that makes a stack outlive the requesting process. */
export const KEEP = 'keep';

export const SupervisorMessage = z.discriminatedUnion('type', [
  z.object({ type: z.literal('progress'), service: z.enum(SERVICE_NAMES), text: z.string() }),
  z.object({ type: z.literal('ready'), state: StackState }),
  z.object({ type: z.literal('kept') }),
  /** A server ended by itself after the stack was ready. */
  z.object({ type: z.literal('lost'), service: z.enum(SERVICE_NAMES), text: z.string() }),
  z.object({ type: z.literal('failed'), message: z.string(), remedy: z.string(), missing: z.boolean() }),
]);
export type SupervisorMessage = z.infer<typeof SupervisorMessage>;
