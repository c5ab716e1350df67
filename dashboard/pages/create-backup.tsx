import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Form from '@cloudscape-design/components/form';
import Header from '@cloudscape-design/components/header';
import KeyValuePairs from '@cloudscape-design/components/key-value-pairs';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useRef, useState } from 'react';
import { bytes, duration } from '../../cli/format.ts';
import type { Deployment } from '../../shared/operations/describe-deployment.ts';
import { BackupFields } from '../backup-form/backup-fields.tsx';
import { type BackupDraft, EMPTY_DRAFT, inputOf, lastOfScope, problemsOf } from '../backup-form/draft.ts';
import { requestDownload } from '../download/running.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { Loading, NoTargets, Problem, Show, Titled } from '../parts/states.tsx';
import { Ago } from '../parts/time.tsx';
import type { PageProps } from '../router.ts';
import { href, navigate } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

/** Backups of a target that are searched for the last one of the same scope. */
const LOOK_BACK = 50;

/** `#/create-backup?target=<name>` */
export default function CreateBackup({ route }: PageProps) {
  const { api } = useSession();
  const deployment = useData('deployment', api.deployment);
  return (
    <Show loaded={deployment} what="the targets" title="Create backup">
      {(data) =>
        data.targets.length === 0 ? (
          <Titled title="Create backup">
            <NoTargets />
          </Titled>
        ) : (
          <CreateForm deployment={data} asked={route.query.get('target')} />
        )
      }
    </Show>
  );
}

function CreateForm({ deployment, asked }: { deployment: Deployment; asked: string | null }) {
  const { api, refusal } = useSession();
  const { fail } = useNotices();
  const { targets } = deployment;
  const [draft, setDraft] = useState<BackupDraft>(() => ({
    ...EMPTY_DRAFT,
    target:
      targets.find(({ name }) => name === asked)?.name ??
      (targets.length === 1 ? targets[0]?.name : '') ??
      '',
  }));
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState<'start' | 'download'>();
  // One key for each draft: a second click, or a retry after a lost response, starts no second job.
  const key = useRef({ of: draft, key: crypto.randomUUID() });
  const why = refusal('startBackup') ?? (draft.target === '' ? 'Choose a target first.' : undefined);
  const start = async (download: boolean) => {
    setTried(true);
    if (why !== undefined || Object.keys(problemsOf(draft)).length > 0) return;
    if (key.current.of !== draft) key.current = { of: draft, key: crypto.randomUUID() };
    setBusy(download ? 'download' : 'start');
    try {
      const { job_id } = await api.startBackup(inputOf(draft), key.current.key);
      if (download) requestDownload(job_id);
      navigate(href(['job', job_id]));
    } catch (error) {
      fail('The backup could not be started', error);
      setBusy(undefined);
    }
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void start(false);
      }}
    >
      <Form
        header={<Header variant="h1">Create backup</Header>}
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button variant="link" formAction="none" href={href(['backups'])}>
              Back
            </Button>
            <Button
              formAction="none"
              loading={busy === 'download'}
              loadingText="Starting"
              onClick={() => void start(true)}
              {...blocked(why ?? (busy === 'start' ? 'The backup is being started.' : undefined))}
            >
              Back up now and download
            </Button>
            <Button
              variant="primary"
              formAction="submit"
              loading={busy === 'start'}
              loadingText="Starting"
              {...blocked(why)}
            >
              Create backup
            </Button>
          </SpaceBetween>
        }
      >
        <SpaceBetween size="l">
          <Container header={<Header variant="h2">Scope</Header>}>
            <BackupFields draft={draft} deployment={deployment} showProblems={tried} onChange={setDraft} />
          </Container>
          {draft.target !== '' && <Estimate draft={draft} deployment={deployment} />}
        </SpaceBetween>
      </Form>
    </form>
  );
}

/** An estimate of the backup, based on the last one of the same scope. */
function Estimate({ draft, deployment }: { draft: BackupDraft; deployment: Deployment }) {
  const { api } = useSession();
  const { target } = draft;
  const { data, error, reload } = useData(target, (signal) =>
    api.listBackups({ target, limit: LOOK_BACK }, signal),
  );
  const all = deployment.targets.find(({ name }) => name === target)?.stores.map(({ store }) => store) ?? [];
  const last = data && lastOfScope(data.backups, draft, all);
  return (
    <Container header={<Header variant="h2">Estimate</Header>}>
      {error ? (
        <Problem error={error} retry={reload} />
      ) : !data ? (
        <Loading what="the last backup" />
      ) : last ? (
        <KeyValuePairs
          columns={3}
          items={[
            { label: 'Size', value: `about ${bytes(last.bytes)}` },
            { label: 'Duration', value: `about ${duration(last.duration_seconds)}` },
            {
              label: 'Based on',
              value: (
                <>
                  <Link href={href(['backup', last.backup_id])}>the last backup of this scope</Link>,{' '}
                  <Ago value={last.created_at} />
                </>
              ),
            },
          ]}
        />
      ) : (
        <Box color="text-body-secondary">
          There is no earlier backup of this scope. Size and duration are shown while the backup runs.
        </Box>
      )}
    </Container>
  );
}
