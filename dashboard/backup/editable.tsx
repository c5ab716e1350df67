import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { type ReactNode, useState } from 'react';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { useSession } from '../session.tsx';

export interface EditableProps<T> {
  readonly label: string;
  readonly value: T;
  /** The content outside of edit mode. */
  readonly children: ReactNode;
  /** The controls that edit a draft of it. */
  readonly editor: (draft: T, change: (draft: T) => void) => ReactNode;
  /** The error of a draft; undefined if it can be saved. */
  readonly problem?: (draft: T) => string | undefined;
  readonly save: (draft: T) => Promise<void>;
}

/** A value that operators can edit in place. */
export function Editable<T>({ label, value, children, editor, problem, save }: EditableProps<T>) {
  const { refusal } = useSession();
  const { fail } = useNotices();
  const [draft, setDraft] = useState<{ value: T }>();
  const [saving, setSaving] = useState(false);
  const wrong = draft && problem?.(draft.value);
  const refused = refusal('updateBackup');
  const submit = async () => {
    if (!draft || wrong !== undefined) return;
    setSaving(true);
    try {
      await save(draft.value);
      setDraft(undefined);
    } catch (error) {
      fail(`${label} was not changed`, error);
    } finally {
      setSaving(false);
    }
  };
  if (!draft) {
    return (
      <div>
        <Box variant="awsui-key-label">
          {label}{' '}
          <Button
            variant="inline-icon"
            iconName="edit"
            ariaLabel={`Change: ${label}`}
            onClick={() => setDraft({ value })}
            {...blocked(refused)}
          />
        </Box>
        {children}
      </div>
    );
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <SpaceBetween size="xs">
        <Box variant="awsui-key-label">{label}</Box>
        {editor(draft.value, (changed) => setDraft({ value: changed }))}
        {wrong && <Box color="text-status-error">{wrong}</Box>}
        <SpaceBetween direction="horizontal" size="xs">
          <Button formAction="submit" variant="primary" loading={saving} disabled={wrong !== undefined}>
            Save
          </Button>
          <Button formAction="none" onClick={() => setDraft(undefined)} disabled={saving}>
            Cancel
          </Button>
        </SpaceBetween>
      </SpaceBetween>
    </form>
  );
}
