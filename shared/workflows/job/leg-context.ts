import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { leftoverKey, leftoversPrefix } from '../../aws/keys.ts';
import { isRollbackJob, isSafetyJob } from '../../core/job-kinds.ts';
import { warningText } from '../../stores/describe-warning.ts';
import type { Leftovers, LegContext } from '../../stores/leg.ts';
import type { SpaceEstimate } from '../../stores/room.ts';
import type { WarningCollector } from '../../stores/warning.ts';
import type { Environment, LegLimits } from '../environment.ts';
import type { ProgressWriter } from './progress.ts';

/** The context of store adapters for one leg of a job. Warnings are logged, and collected in `warnings` if given. */
export function legContext(
  environment: Environment,
  leg: LegLimits,
  jobId: string,
  {
    progress,
    warnings,
    room,
  }: { progress?: ProgressWriter; warnings?: WarningCollector; room?: (room: SpaceEstimate) => void } = {},
): LegContext {
  return {
    jobId,
    asIs: isSafetyJob(jobId) || isRollbackJob(jobId),
    timeLeft: leg.timeLeft,
    signal: leg.signal,
    progress: (unit, done, total) => progress?.report(unit, done, total),
    doneBefore: (unit) => progress?.doneBefore(unit) ?? 0,
    warn: (warning) => {
      environment.log(warningText(warning), { warning: warning.code });
      warnings?.add(warning);
    },
    leftovers: leftoversOf(environment.bucket, jobId),
    ...(room === undefined ? {} : { room }),
    log: environment.log,
  };
}

/** Records leftovers in the job's staging area, which is emptied after the cleanup. */
function leftoversOf(bucket: Bucket, jobId: string): Leftovers {
  return {
    add: (id, value) => bucket.writeRecord(leftoverKey(jobId, id), { value }),
    async *all() {
      for await (const { key } of bucket.keys(leftoversPrefix(jobId))) {
        const found = await bucket.readRecord(key, z.object({ value: z.unknown() }));
        if (found) yield found.value.value;
      }
    },
  };
}
