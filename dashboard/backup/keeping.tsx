import ColumnLayout from '@cloudscape-design/components/column-layout';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Input from '@cloudscape-design/components/input';
import Select from '@cloudscape-design/components/select';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Textarea from '@cloudscape-design/components/textarea';
import TokenGroup from '@cloudscape-design/components/token-group';
import { useState } from 'react';
import type { BackupDetails } from '../../shared/catalog/summaries.ts';
import type { BackupChanges } from '../../shared/operations/update-backup.ts';
import { retentionText } from '../backups/texts.tsx';
import { Tags } from '../parts/tags.tsx';
import { useSession } from '../session.tsx';
import { Editable } from './editable.tsx';

/** Limits of shared/catalog/request.ts, checked before the API would refuse. */
const NOTE_MAX = 1000;
const TAG_MAX = 128;
const TAGS_MAX = 50;

/** Tags, note and retention: the only editable properties of a backup. */
export function Keeping({
  record,
  changed,
}: {
  record: BackupDetails;
  changed: (record: BackupDetails) => void;
}) {
  const { api } = useSession();
  const save = async (changes: BackupChanges) => changed(await api.updateBackup(record.backup_id, changes));
  return (
    <Container header={<Header variant="h2">Retention and tags</Header>}>
      <ColumnLayout columns={3} borders="vertical">
        <Editable
          label="Tags"
          value={record.tags}
          editor={(draft, change) => <TagsEditor tags={draft} change={change} />}
          save={(tags) => save({ tags })}
        >
          {record.tags.length === 0 ? 'None' : <Tags tags={record.tags} />}
        </Editable>
        <Editable
          label="Note"
          value={record.note ?? ''}
          editor={(draft, change) => (
            <Textarea
              ariaLabel="Note"
              value={draft}
              rows={3}
              autoFocus
              onChange={({ detail }) => change(detail.value)}
            />
          )}
          problem={(draft) =>
            draft.length > NOTE_MAX ? `A note can have at most ${NOTE_MAX} characters.` : undefined
          }
          save={(note) => save({ note: note === '' ? null : note })}
        >
          <bdi>{record.note ?? 'None'}</bdi>
        </Editable>
        <Editable
          label="Retention"
          value={record.retention ?? ''}
          editor={(draft, change) => <RetentionEditor value={draft} change={change} />}
          problem={retentionProblem}
          save={(retention) => save({ retention: retention === '' ? null : retention })}
        >
          {retentionText(record.retention)}
        </Editable>
      </ColumnLayout>
    </Container>
  );
}

function TagsEditor({ tags, change }: { tags: string[]; change: (tags: string[]) => void }) {
  const [text, setText] = useState('');
  const add = () => {
    const tag = text.trim();
    setText('');
    if (tag !== '' && !tags.includes(tag) && tags.length < TAGS_MAX) change([...tags, tag]);
  };
  return (
    <SpaceBetween size="xs">
      <Input
        ariaLabel="Add a tag"
        placeholder="Type a tag and press Enter"
        value={text}
        autoFocus
        onChange={({ detail }) => setText(detail.value.slice(0, TAG_MAX))}
        onKeyDown={(event) => {
          if (event.detail.key !== 'Enter' || text.trim() === '') return;
          // Otherwise Enter saves.
          event.preventDefault();
          add();
        }}
        onBlur={add}
      />
      <TokenGroup
        items={tags.map((tag) => ({ label: tag, dismissLabel: `Remove ${tag}` }))}
        onDismiss={({ detail }) => change(tags.filter((_, index) => index !== detail.itemIndex))}
      />
    </SpaceBetween>
  );
}

const KINDS = [
  { value: 'policy', label: 'By policy' },
  { value: 'permanent', label: 'Forever' },
  { value: 'days', label: 'For a number of days' },
  { value: 'date', label: 'Until a date' },
] as const;
type Kind = (typeof KINDS)[number]['value'];
const STARTS: Record<Kind, string> = { policy: '', permanent: 'permanent', days: '30d', date: '' };

/** Edits a retention in the notation of the API: `''`, `permanent`, `30d` or `2027-12-31`. */
export function RetentionEditor({ value, change }: { value: string; change: (value: string) => void }) {
  const [kind, setKind] = useState<Kind>(() => kindOf(value));
  return (
    <SpaceBetween size="xs">
      <Select
        ariaLabel="Retention"
        selectedOption={KINDS.find((option) => option.value === kind) ?? KINDS[0]}
        options={KINDS}
        onChange={({ detail }) => {
          const chosen =
            KINDS.find((option) => option.value === detail.selectedOption.value)?.value ?? 'policy';
          setKind(chosen);
          change(chosen === 'date' ? nextYear() : STARTS[chosen]);
        }}
      />
      {kind === 'days' && (
        <Input
          ariaLabel="Days"
          type="number"
          inputMode="numeric"
          value={value.replace('d', '')}
          onChange={({ detail }) => change(`${detail.value}d`)}
        />
      )}
      {kind === 'date' && (
        <Input
          ariaLabel="Last day, for example 2027-12-31"
          value={value}
          onChange={({ detail }) => change(detail.value)}
        />
      )}
    </SpaceBetween>
  );
}

function kindOf(value: string): Kind {
  if (value === '') return 'policy';
  if (value === 'permanent') return 'permanent';
  return /^\d+d$/.test(value) ? 'days' : 'date';
}

function nextYear(): string {
  const day = new Date();
  day.setFullYear(day.getFullYear() + 1);
  return day.toISOString().slice(0, 10);
}

/** The error of a retention; undefined if it is valid. */
export function retentionProblem(value: string): string | undefined {
  if (value === '' || value === 'permanent' || /^[1-9][0-9]{0,4}d$/.test(value)) return undefined;
  if (/^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(Date.parse(value))) return undefined;
  return 'Enter a number of days (at least 1) or a date, for example 2027-12-31.';
}
