import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import FormField from '@cloudscape-design/components/form-field';
import Input from '@cloudscape-design/components/input';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useState } from 'react';
import { bytes } from '../../cli/format.ts';
import type { CatalogRecord } from '../../shared/catalog/record.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { Command } from '../parts/command.tsx';
import { Question } from '../parts/question.tsx';
import { Time } from '../parts/time.tsx';
import { href, navigate } from '../router.ts';
import { useSession } from '../session.tsx';
import { asApiError } from '../use-data.ts';

/** Deletes a backup permanently, once the user has typed the name of its target. */
export function DeleteButton({ record }: { record: CatalogRecord }) {
  const { api, refusal } = useSession();
  const { notify } = useNotices();
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState('');
  const [deleting, setDeleting] = useState(false);
  const [problem, setProblem] = useState('');
  const refused = refusal('deleteBackup', record);
  const close = () => {
    setOpen(false);
    setTyped('');
    setProblem('');
  };
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
      navigate(href(['backups']), { replace: true });
    } catch (error) {
      const { message, remedy } = asApiError(error);
      setProblem(`${message} ${remedy}`);
      setDeleting(false);
    }
  };
  return (
    <>
      <Button onClick={() => setOpen(true)} {...blocked(refused)}>
        Delete
      </Button>
      <Question
        visible={open}
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
    </>
  );
}
