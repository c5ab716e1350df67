import { CALLS, type CallName, type CallShape } from './calls.ts';
import { hasEnded, type JobState } from './job-state.ts';
import { ROLES, type Role } from './roles.ts';

/** Why an action is not allowed, and the remedy: the same text in the API, the command line and the dashboard. */
export interface Refusal {
  readonly message: string;
  readonly remedy: string;
}

/** The properties of a job that decide which actions it allows. */
export interface JobStanding {
  readonly job_id: string;
  /** `gone`: the record says that the job is running, but Step Functions no longer has its execution. */
  readonly state: JobState | 'gone';
}

/** Creator of the schedules in cdk.json. CloudFormation owns them, so they can be changed but not removed. */
export const CREATED_BY_DEPLOYMENT = 'deployment';

/** Why the state of an object does not allow an action: one entry for each action that depends on state. */
const BY_STATE = {
  deleteBackup(backup: {
    readonly backup_id: string;
    readonly retention?: string | undefined;
    /** What a running restore uses it for. */
    readonly use?: string | undefined;
    /** The S3 Object Lock on its archive. */
    readonly lock?: string | undefined;
  }): Refusal | undefined {
    const { backup_id, retention, use, lock } = backup;
    if (retention === 'permanent') {
      return {
        message: `Backup ${backup_id} is kept forever.`,
        remedy: `Remove its retention first: \`ngbak tag ${backup_id} --no-retention\`.`,
      };
    }
    if (use !== undefined) {
      return {
        message: `Backup ${backup_id} is in use: ${use}.`,
        remedy: 'Wait until that restore has ended, or cancel it.',
      };
    }
    if (lock === undefined) return undefined;
    return {
      message: `Backup ${backup_id} can't be deleted: ${lock}.`,
      remedy: 'Wait until the lock ends. A legal hold must be removed in S3.',
    };
  },

  cancelJob(
    job: JobStanding & { readonly target: string; readonly isRollback: boolean },
  ): Refusal | undefined {
    const { job_id, state, target, isRollback } = job;
    if (state === 'gone' || hasEnded(state)) {
      return {
        message: `Job ${job_id} is ${state}: there is nothing to cancel.`,
        remedy: 'List running jobs with `ngbak jobs --state processing`.',
      };
    }
    if (!isRollback) return undefined;
    return {
      message: `Job ${job_id} is rolling back target "${target}".`,
      remedy: 'Wait for it to finish: if it is stopped, the target is left incomplete.',
    };
  },

  confirmRestore: waitsForConfirmation,
  rejectRestore: waitsForConfirmation,
  changeRestoreOptions(job: JobStanding & { readonly attaches?: boolean }): Refusal | undefined {
    const refusal = waitsForConfirmation(job);
    if (refusal || !job.attaches) return refusal;
    return {
      message: `Job ${job.job_id} attaches relationships and has no other options.`,
      remedy: 'Confirm or reject it.',
    };
  },

  presignParts: waitsForUpload,
  completeUpload: waitsForUpload,

  removeSchedule(schedule: {
    readonly name: string;
    readonly made_by?: string | undefined;
  }): Refusal | undefined {
    const { name, made_by } = schedule;
    if (made_by !== CREATED_BY_DEPLOYMENT) return undefined;
    return {
      message: `Schedule "${name}" belongs to the deployment, which cannot be updated without it.`,
      remedy: `Pause it with \`ngbak schedule pause ${name}\`; or set "schedule": {"enabled": false} in cdk.json and deploy.`,
    };
  },
} satisfies Partial<Record<CallName, (subject: never) => Refusal | undefined>>;

function waitsForConfirmation({ job_id, state }: JobStanding): Refusal | undefined {
  if (state === 'awaiting_confirmation') return undefined;
  return {
    message: `Job ${job_id} is ${state}: it is not waiting for confirmation.`,
    remedy: 'List the jobs with `ngbak jobs` and take one that is awaiting_confirmation.',
  };
}

function waitsForUpload({ job_id, state, started }: JobStanding & { readonly started?: boolean }) {
  if (state === 'pending' && !started) return undefined;
  return {
    message: `Job ${job_id} is ${state}: it is not waiting for an upload.`,
    remedy: `Show it with \`ngbak job ${job_id}\`; for another restore, request another upload.`,
  };
}

/** Actions that the state of their subject may forbid. */
export type StatefulCall = keyof typeof BY_STATE;
/** The properties of an action's subject that decide whether the action is allowed. */
export type SubjectOf<Name extends StatefulCall> = Parameters<(typeof BY_STATE)[Name]>[0];

/** Why the state of the subject does not allow an action; undefined if it does. */
export function refusedByState<Name extends StatefulCall>(
  name: Name,
  subject: SubjectOf<Name>,
): Refusal | undefined {
  const refuse = BY_STATE[name] as (subject: SubjectOf<Name>) => Refusal | undefined;
  return refuse(subject);
}

/** Why a role does not allow an action that requires another role; undefined if it does. */
export function refusedByRole(
  needed: Role,
  caller: { readonly name: string; readonly role: Role },
): Refusal | undefined {
  if (ROLES.indexOf(caller.role) >= ROLES.indexOf(needed)) return undefined;
  return {
    message: `This requires the role ${needed}; ${caller.name} has the role ${caller.role}.`,
    remedy: 'Ask an administrator for a key with that role.',
  };
}

/**
 * Why a caller may not call an operation: because of the caller's role, or of the subject's state as far as it is
 * known. Undefined if the call is allowed.
 */
export function refusalOf<Name extends CallName>(
  name: Name,
  caller: { readonly name: string; readonly role: Role },
  subject?: Name extends StatefulCall ? SubjectOf<Name> : never,
): Refusal | undefined {
  const { role }: CallShape = CALLS[name];
  const refused = role && refusedByRole(role, caller);
  if (refused || subject === undefined) return refused;
  return refusedByState(name as StatefulCall, subject);
}
