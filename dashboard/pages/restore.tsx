import type { PageProps } from '../router.ts';
import { ChooseArchive } from './restore/choose-archive.tsx';
import { RestoreJob } from './restore/restore-job.tsx';

/**
 * The restore wizard: `#/restore` chooses the archive, `#/restore?backup=<id>` has one preselected,
 * `#/restore?from=file` uploads one; `#/restore/<job>` is everything after that, in any state of the job.
 */
export default function Restore({ route }: PageProps) {
  const [, job, step] = route.parts;
  return job === undefined ? (
    <ChooseArchive query={route.query} />
  ) : (
    <RestoreJob key={job} jobId={job} step={step} />
  );
}
