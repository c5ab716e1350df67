import type { PageProps } from '../router.ts';
import { ChooseArchive } from './restore/choose-archive.tsx';
import { RestoreJob } from './restore/restore-job.tsx';

/**
 * The restore wizard: `#/restore` chooses the archive, `#/restore?backup=<id>` with one chosen already, `#/restore?from=file`
 * uploads one; `#/restore/<job>` is everything after, wherever the job stands by then.
 */
export default function Restore({ route }: PageProps) {
  const [, job, step] = route.parts;
  return job === undefined ? (
    <ChooseArchive query={route.query} />
  ) : (
    <RestoreJob key={job} jobId={job} step={step} />
  );
}
