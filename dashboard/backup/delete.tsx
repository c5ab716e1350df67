import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import FormField from '@cloudscape-design/components/form-field';
import Input from '@cloudscape-design/components/input';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useState } from 'react';
import { bytes } from '../../cli/format.ts';
import type { CatalogRecord } from '../../shared/catalog/record.ts';
import { usdText } from '../../shared/core/cost-text.ts';
import type { BackupView } from '../../shared/operations/show-backup.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { Command } from '../parts/command.tsx';
import { Question } from '../parts/question.tsx';
import { Time } from '../parts/time.tsx';
import { href, navigate } from '../router.ts';
import { useSession } from '../session.tsx';
import { asApiError } from '../use-data.ts';

/** What the dialog and the reasons against a deletion need to know of a backup. */
type Deletable = Pick<CatalogRecord, 'backup_id' | 'target' | 'created_at' | 'retention'> & {
  readonly storage?: BackupView['storage'] | undefined;
};

/** Deletes a backup permanently, once the user has typed the name of its target. Then opens the list. */
export function DeleteButton({ record }: { record: Deletable }) {
  const { refusal } = useSession();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button onClick={() => setOpen(true)} {...blocked(refusal('deleteBackup', record))}>
        Delete
      </Button>
      {open && (
        <DeleteQuestion
          record={record}
          close={() => setOpen(false)}
          deleted={() => navigate(href(['backups']), { replace: true })}
        />
      )}
    </>
  );
}

/** The dialog in which the deletion of a backup is confirmed. */
export function DeleteQuestion({
  record,
  close,
  deleted,
}: {
  record: Deletable;
  close: () => void;
  deleted: () => void;
}) {
  const { api } = useSession();
  const { notify } = useNotices();
  const [typed, setTyped] = useState('');
  const [deleting, setDeleting] = useState(false);
  const [problem, setProblem] = useState('');
  const remove = async () => {
    if (typed !== record.target || deleting) return;
    setDeleting(true);
    try {
      const { bytes_freed } = await api.deleteBackup(record.backup_id);
      notify({
        type: 'success',
        header: 'Backup deleted',
        content: `${bytes(bytes_freed)} freed.`,
      });
      close();
      deleted();
    } catch (error) {
      const { message, remedy } = asApiError(error);
      setProblem(`${message} ${remedy}`);
      setDeleting(false);
    }
  };
  return (
    <Question
      visible
      header="Delete this backup permanently?"
      no={{ text: 'Cancel', onClick: close, disabled: deleting }}
      yes={{
        text: 'Delete',
        onClick: () => void remove(),
        loading: deleting,
        disabled: typed !== record.target,
      }}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void remove();
        }}
      >
        <SpaceBetween size="m">
          <Box>
            The backup of <bdi>{record.target}</bdi> from <Time value={record.created_at} /> and all its
            versions will be deleted. This cannot be undone.
          </Box>
          {record.storage?.minimum && (
            <Alert type="info">
              S3 bills {record.storage.storage_class} for at least {record.storage.minimum.days} days:{' '}
              {usdText(record.storage.minimum.usd)} (estimate) in any case.
            </Alert>
          )}
          {problem && <Alert type="error">{problem}</Alert>}
          <FormField label="Type the name of the target" constraintText={record.target}>
            <Input
              value={typed}
              onChange={({ detail }) => setTyped(detail.value)}
              autoFocus
              autoComplete="off"
            />
          </FormField>
          <Command line={`ngbak delete ${record.backup_id}`} />
        </SpaceBetween>
      </form>
    </Question>
  );
}
