import { z } from 'zod';

/** The Step Functions execution that a step belongs to, from the context object. */
export const ExecutionInfo = z.object({ name: z.string(), arn: z.string(), start: z.iso.datetime() });
export type ExecutionInfo = z.infer<typeof ExecutionInfo>;
