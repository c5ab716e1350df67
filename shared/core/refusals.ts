import { refusedByState, type StatefulCall, type SubjectOf } from './allowed.ts';
import { NgbakError } from './errors.ts';

/** What was asked for does not exist. */
export class NotFoundError extends NgbakError {}

/** What was asked for exists, and its state does not allow it now: in use, locked, kept forever, ended. */
export class RefusedError extends NgbakError {}

/** Throws RefusedError unless the state of a thing allows an action. */
export function requireAllowed<Name extends StatefulCall>(name: Name, subject: SubjectOf<Name>): void {
  const refusal = refusedByState(name, subject);
  if (refusal) throw new RefusedError(refusal.message, { remedy: refusal.remedy });
}

export function noSuchBackup(id: string): NotFoundError {
  return new NotFoundError(`There is no backup "${id}" in the catalog.`, {
    remedy: 'List the backups with `ngbak list` and use an ID from that list.',
  });
}

export function noSuchJob(id: string): NotFoundError {
  return new NotFoundError(`There is no job "${id}".`, {
    remedy: 'List the jobs with `ngbak jobs` and use an ID from that list.',
  });
}

export function noSuchSchedule(name: string): NotFoundError {
  return new NotFoundError(`There is no schedule "${name}".`, {
    remedy: 'List the schedules with `ngbak schedule list` and use a name from that list.',
  });
}
