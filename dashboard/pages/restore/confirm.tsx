import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import FormField from '@cloudscape-design/components/form-field';
import Header from '@cloudscape-design/components/header';
import Input from '@cloudscape-design/components/input';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useState } from 'react';
import type { JobView } from '../../../shared/operations/show-job.ts';
import type { Inspection } from '../../../shared/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/restore/request.ts';
import { storeName } from '../../job/store-bars.tsx';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { useSession } from '../../session.tsx';
import { Findings } from './report.tsx';

/** The last word: the target's name, typed out. */
export function Confirm({
  job,
  inspection,
  options,
  onAnswer,
}: {
  job: JobView;
  inspection: Inspection;
  options: RestoreOptions;
  onAnswer: () => void;
}) {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const [phrase, setPhrase] = useState('');
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState<'confirm' | 'reject'>();
  const matches = phrase === job.target;
  const impossible = inspection.problems.length > 0 ? 'The problems above stand against it.' : undefined;
  const why = refusal('operator') ?? impossible;
  const answer = async (what: 'confirm' | 'reject') => {
    setBusy(what);
    try {
      if (what === 'confirm') await api.confirmRestore(job.job_id, phrase, inspection.inspected_at);
      else {
        await api.rejectRestore(job.job_id);
        notify({ type: 'info', header: 'Rejected', content: 'Nothing was changed.' }, `job ${job.job_id}`);
      }
      onAnswer();
    } catch (error) {
      fail(
        what === 'confirm' ? 'The restore could not be confirmed' : 'The restore could not be rejected',
        error,
      );
    } finally {
      setBusy(undefined);
    }
  };
  const submit = () => {
    setTried(true);
    if (matches && why === undefined) void answer('confirm');
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <SpaceBetween size="l">
        <Findings inspection={inspection} options={options} />
        <Container header={<Header variant="h2">What is going to happen</Header>}>
          <ol>
            {(options.safety_backup
              ? [
                  `What ${job.target} holds now is saved, for 14 days. If anything fails after that, it is put back by itself.`,
                ]
              : []
            )
              .concat(
                options.mode === 'replace'
                  ? `Emptied and loaded from the archive: ${inspection.stores.map(({ store }) => storeName(store).toLowerCase()).join(', ')}.`
                  : `Added from the archive to what is there: ${inspection.stores.map(({ store }) => storeName(store).toLowerCase()).join(', ')}.`,
                'Every record is read back and compared with the archive.',
              )
              .map((text) => (
                <li key={text}>
                  <bdi>{text}</bdi>
                </li>
              ))}
          </ol>
        </Container>
        {!options.safety_backup && (
          <Alert type="warning">
            Without a safety backup there is no way back once the restore has begun.
          </Alert>
        )}
        <FormField
          label={
            <>
              Type the name of the target, <bdi>{job.target}</bdi>
            </>
          }
          errorText={tried && !matches ? 'That is not its name.' : undefined}
        >
          <Input
            value={phrase}
            autoComplete="off"
            spellcheck={false}
            disabled={why !== undefined}
            onChange={({ detail }) => {
              setPhrase(detail.value);
              setTried(false);
            }}
          />
        </FormField>
        <Box float="right">
          <SpaceBetween direction="horizontal" size="xs">
            <Button
              formAction="none"
              loading={busy === 'reject'}
              {...blocked(refusal('operator'))}
              onClick={() => answer('reject')}
            >
              Reject
            </Button>
            <Button variant="primary" formAction="submit" loading={busy === 'confirm'} {...blocked(why)}>
              Restore now
            </Button>
          </SpaceBetween>
        </Box>
      </SpaceBetween>
    </form>
  );
}
