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
import type { Inspection } from '../../../shared/workflows/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/workflows/restore/request.ts';
import { storeName } from '../../job/store-bars.tsx';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { useSession } from '../../session.tsx';
import { Findings } from './report.tsx';

/** The confirmation: the name of the target, typed by the user. */
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
  const impossible = inspection.problems.length > 0 ? 'The problems above prevent this restore.' : undefined;
  const why = refusal('confirmRestore', job) ?? impossible;
  const answer = async (what: 'confirm' | 'reject') => {
    setBusy(what);
    try {
      if (what === 'confirm')
        await api.confirmRestore(job.job_id, { phrase, inspected_at: inspection.inspected_at });
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
        <Container header={<Header variant="h2">What will happen</Header>}>
          <ol>
            {(options.safety_backup
              ? [
                  `${job.target} is backed up first; this safety backup is kept for 14 days. If a later step fails, the target is rolled back automatically.`,
                ]
              : []
            )
              .concat(
                options.mode === 'if_empty'
                  ? `Checked again to be empty, then loaded from the archive: ${inspection.stores.map(({ store }) => storeName(store).toLowerCase()).join(', ')}.`
                  : options.mode === 'replace'
                    ? `Cleared, then loaded from the archive: ${inspection.stores.map(({ store }) => storeName(store).toLowerCase()).join(', ')}.`
                    : `Merged from the archive: ${inspection.stores.map(({ store }) => storeName(store).toLowerCase()).join(', ')}.`,
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
            Without a safety backup, a restore can’t be rolled back once it has started to write.
          </Alert>
        )}
        <FormField
          label={
            <>
              Type the name of the target, <bdi>{job.target}</bdi>
            </>
          }
          errorText={tried && !matches ? 'The name does not match the target.' : undefined}
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
              {...blocked(refusal('rejectRestore', job))}
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
