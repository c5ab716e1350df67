import { refusedByState, type StatefulCall, type SubjectOf } from './allowed.ts';
import { NgbakError } from './errors.ts';

/** The requested object does not exist. */
export class NotFoundError extends NgbakError {}

/** The state of the requested object does not allow the action now: in use, locked, kept permanently, ended. */
export class RefusedError extends NgbakError {}

/** Throws RefusedError if the state of the subject does not allow an action. */
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
