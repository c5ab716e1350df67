/** True for the job of a safety backup, whose target may be damaged. */
export function isSafetyJob(jobId: string): boolean {
  return jobId.startsWith('safety_');
}

/** True for the rollback of a failed restore. */
export function isRollbackJob(jobId: string): boolean {
  return jobId.startsWith('rollback_');
}
