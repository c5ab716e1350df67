/** True for the job of a safety backup: it saves a target that may be damaged. */
export function isSafetyJob(jobId: string): boolean {
  return jobId.startsWith('safety_');
}

/** True for the job that puts a target back after a restore that failed. */
export function isRollbackJob(jobId: string): boolean {
  return jobId.startsWith('rollback_');
}
