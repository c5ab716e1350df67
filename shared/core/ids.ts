import { z } from 'zod';

/** Ids of jobs, backups, targets, shards and schedules. 80 characters is the limit of a Step Functions execution name. */
export const Id = z
  .string()
  .max(80)
  .regex(/^[a-zA-Z0-9_-]+$/, 'may hold only letters, digits, "_" and "-"');
