import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import ProgressBar from '@cloudscape-design/components/progress-bar';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useEffect, useReducer, useSyncExternalStore } from 'react';
import { bytes, duration } from '../../cli/format.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import {
  type ArchiveDownload,
  beginWanted,
  type DownloadState,
  discardDownload,
  isWanted,
  runningDownload,
} from '../download/running.ts';
import { useSession } from '../session.tsx';
import { asApiError } from '../use-data.ts';

/** The download that follows a backup, if one was requested with it. */
export function DownloadAfterBackup({ job }: { job: JobView }) {
  const { api } = useSession();
  const [, refresh] = useReducer((count: number) => count + 1, 0);
  const { job_id, state, backup_id } = job;
  const wanted = isWanted(job_id);
  useEffect(() => {
    if (!wanted || !hasEnded(state)) return;
    if (state === 'completed' && backup_id !== undefined) beginWanted(job_id, backup_id, api);
    else discardDownload(job_id);
    refresh();
  }, [api, wanted, job_id, state, backup_id]);
  const download = runningDownload(job_id);
  if (!download && (!wanted || hasEnded(state))) return null;
  return (
    <Container header={<Header variant="h2">Download</Header>}>
      {download ? (
        <Progress download={download} />
      ) : (
        <SpaceBetween size="m">
          <ProgressBar value={0} label="Archive" description="Starts when the backup is verified." />
          <Button
            onClick={() => {
              discardDownload(job_id);
              refresh();
            }}
          >
            Do not download
          </Button>
        </SpaceBetween>
      )}
    </Container>
  );
}

function Progress({ download }: { download: ArchiveDownload }) {
  const state = useSyncExternalStore(download.subscribe, download.state);
  const { phase, done, total, fileName = 'Archive' } = state;
  if (phase === 'failed') {
    const { message, remedy } = asApiError(state.error);
    return (
      <Alert type="error" header="The backup could not be downloaded">
        {message} {remedy}
      </Alert>
    );
  }
  if (phase === 'browser') {
    return (
      <Alert type="info" header="Your browser downloads the archive">
        It shows the progress itself: this page has too little space to check the archive first.
      </Alert>
    );
  }
  if (phase === 'cancelled') return <Alert type="info" header="Download cancelled" />;
  return (
    <SpaceBetween size="m">
      <ProgressBar
        label={fileName}
        description={phase === 'saved' ? 'Downloaded, checksum verified.' : 'Downloading'}
        value={phase === 'saved' ? 100 : total === 0 ? 0 : Math.min(99, Math.floor((done / total) * 100))}
        additionalInfo={total === 0 ? '' : amountText(state)}
      />
      {phase !== 'saved' && <Button onClick={() => download.cancel()}>Cancel download</Button>}
    </SpaceBetween>
  );
}

function amountText({ done, total, bytesPerSecond }: DownloadState): string {
  return [
    `${bytes(done)} of ${bytes(total)}`,
    ...(bytesPerSecond === undefined || done === total
      ? []
      : [`${bytes(bytesPerSecond)}/s`, `${duration((total - done) / bytesPerSecond)} left`]),
  ].join(', ');
}
