import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import ProgressBar from '@cloudscape-design/components/progress-bar';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { bytes, duration } from '../../../cli/format.ts';
import type { JobView } from '../../../shared/operations/show-job.ts';
import { useTitle } from '../../job/title.ts';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { Show } from '../../parts/states.tsx';
import { useSession } from '../../session.tsx';
import { uploadStatus } from '../../upload/restore-upload.ts';
import { discardUpload, isUploading, runningUpload, startUpload } from '../../upload/running.ts';
import type { Upload, UploadPhase, UploadState } from '../../upload/upload.ts';
import { useData } from '../../use-data.ts';
import { FileChoice } from './file-choice.tsx';

/** Poll interval of a tab that does not upload itself, in milliseconds. */
const POLL_MS = 3000;

/** The upload of a job: in this tab, in another one, or interrupted. */
export function UploadStep({ job, reload }: { job: JobView; reload: () => void }) {
  const { api } = useSession();
  const [, setBegun] = useState<Upload>();
  const upload = runningUpload(job.job_id, api);
  return (
    <Container header={<Header variant="h2">Upload</Header>}>
      {upload ? (
        <Uploading job={job} upload={upload} reload={reload} onForget={() => setBegun(undefined)} />
      ) : (
        <Interrupted job={job} reload={reload} onFile={setBegun} />
      )}
    </Container>
  );
}

const TEXTS: Record<UploadPhase, string> = {
  checking: 'Comparing with the uploaded parts',
  uploading: 'Uploading',
  waiting: 'Waiting for the network',
  paused: 'Paused',
  completing: 'Completing the upload',
  completed: 'Uploaded',
  cancelling: 'Cancelling',
  cancelled: 'Cancelled',
};

function Uploading({
  job,
  upload,
  reload,
  onForget,
}: {
  job: JobView;
  upload: Upload;
  reload: () => void;
  onForget: () => void;
}) {
  const { refusal } = useSession();
  const { fail } = useNotices();
  const state = useSyncExternalStore(upload.subscribe, upload.state);
  const { phase, problem } = state;
  const percent = percentOf(state);
  useTitle(phase === 'uploading' ? `${percent} % upload` : TEXTS[phase]);
  useEffect(() => {
    if (phase === 'completed' || phase === 'cancelled') reload();
  }, [phase, reload]);
  const why = refusal('presignParts');
  const going = phase === 'checking' || phase === 'uploading' || phase === 'waiting';
  const cancel = () =>
    upload.cancel().catch((error: unknown) => fail('The upload could not be cancelled', error));
  return (
    <SpaceBetween size="m">
      {problem && (
        <Alert type={phase === 'waiting' ? 'info' : 'warning'} header={TEXTS[phase]}>
          {problem.message} {problem.remedy}
        </Alert>
      )}
      <ProgressBar
        label={<bdi>{job.upload?.file_name ?? 'Archive'}</bdi>}
        description={TEXTS[phase]}
        value={percent}
        additionalInfo={amountText(state)}
      />
      <SpaceBetween direction="horizontal" size="xs">
        {going && <Button onClick={() => upload.pause()}>Pause</Button>}
        {phase === 'paused' && (
          <Button variant="primary" {...blocked(why)} onClick={() => void upload.resume()}>
            Resume
          </Button>
        )}
        {phase === 'paused' && (
          <Button
            onClick={() => {
              discardUpload(job.job_id);
              onForget();
            }}
          >
            Choose the file again
          </Button>
        )}
        {(going || phase === 'paused') && <Button onClick={cancel}>Cancel upload</Button>}
      </SpaceBetween>
      <Box color="text-body-secondary">
        You can open other pages, but keep this tab open. The inspection starts when the upload is complete.
      </Box>
    </SpaceBetween>
  );
}

/** No upload in this tab: after a reload, on another computer, or because another tab uploads. */
function Interrupted({
  job,
  reload,
  onFile,
}: {
  job: JobView;
  reload: () => void;
  onFile: (upload: Upload) => void;
}) {
  const { api, refusal } = useSession();
  const { fail } = useNotices();
  const [file, setFile] = useState<File>();
  const [busy, setBusy] = useState(false);
  const loaded = useData(
    job.job_id,
    async (signal) => {
      const [status, inOtherTab] = await Promise.all([
        uploadStatus(api, job.job_id, signal),
        isUploading(job.job_id),
      ]);
      return { status, inOtherTab };
    },
    POLL_MS,
  );
  const cancel = async () => {
    setBusy(true);
    try {
      await api.cancelJob(job.job_id);
      reload();
    } catch (error) {
      fail('The upload could not be cancelled', error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Show loaded={loaded} what="what S3 has">
      {({ status, inOtherTab }) => {
        const uploadedBytes = status.parts.reduce((sum, part) => sum + part.bytes, 0);
        const atLeast = status.next_after === undefined ? '' : 'at least ';
        const wrong =
          file && file.size !== status.bytes
            ? `The upload was started with a file of ${status.bytes} bytes; this one has ${file.size}. Choose that file, or cancel the upload and start again.`
            : undefined;
        const why =
          refusal('presignParts', { ...job, started: job.execution_arn !== undefined }) ??
          (file ? wrong : 'Choose the file first.');
        return (
          <SpaceBetween size="m">
            <ProgressBar
              label={<bdi>{status.file_name}</bdi>}
              value={Math.floor((uploadedBytes / status.bytes) * 100)}
              additionalInfo={`S3 has ${atLeast}${bytes(uploadedBytes)} of ${bytes(status.bytes)}`}
            />
            {inOtherTab ? (
              <Alert type="info" header="Another tab is uploading this file">
                Pause or cancel it there.
              </Alert>
            ) : (
              <>
                <Alert type="info" header="The upload was interrupted">
                  Choose the same file again. The uploaded parts are compared with it, and only the rest is
                  sent.
                </Alert>
                <FileChoice file={file} onChoose={setFile} />
                {wrong && <Alert type="error">{wrong}</Alert>}
                <SpaceBetween direction="horizontal" size="xs">
                  <Button
                    variant="primary"
                    {...blocked(why)}
                    onClick={() => file && onFile(startUpload(job.job_id, file, status.part_bytes, api))}
                  >
                    Resume
                  </Button>
                  <Button
                    loading={busy}
                    {...blocked(refusal('cancelJob', { ...job, isRollback: false }))}
                    onClick={cancel}
                  >
                    Cancel upload
                  </Button>
                </SpaceBetween>
              </>
            )}
          </SpaceBetween>
        );
      }}
    </Show>
  );
}

function percentOf({ bytesDone, bytesTotal, phase }: UploadState): number {
  if (phase === 'completed') return 100;
  return Math.min(99, Math.floor((bytesDone / bytesTotal) * 100));
}

function amountText({ bytesDone, bytesTotal, bytesPerSecond, secondsRemaining }: UploadState): string {
  return [
    `${bytes(bytesDone)} of ${bytes(bytesTotal)}`,
    ...(bytesPerSecond === undefined ? [] : [`${bytes(bytesPerSecond)}/s`]),
    ...(secondsRemaining === undefined ? [] : [`${duration(secondsRemaining)} left`]),
  ].join(', ');
}
