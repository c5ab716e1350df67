import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Checkbox from '@cloudscape-design/components/checkbox';
import Container from '@cloudscape-design/components/container';
import ExpandableSection from '@cloudscape-design/components/expandable-section';
import FormField from '@cloudscape-design/components/form-field';
import Header from '@cloudscape-design/components/header';
import Input from '@cloudscape-design/components/input';
import Multiselect from '@cloudscape-design/components/multiselect';
import RadioGroup from '@cloudscape-design/components/radio-group';
import Select from '@cloudscape-design/components/select';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Textarea from '@cloudscape-design/components/textarea';
import Tiles from '@cloudscape-design/components/tiles';
import { useState } from 'react';
import { inArchiveOrder, isServed, SERVED_ROLES } from '../../../shared/core/store-names.ts';
import type { JobView } from '../../../shared/operations/show-job.ts';
import type { Inspection } from '../../../shared/workflows/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/workflows/restore/request.ts';
import { storeName } from '../../job/store-bars.tsx';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { useSession } from '../../session.tsx';
import { useData } from '../../use-data.ts';
import {
  chosenOptions,
  draftOf,
  isChanged,
  namesIn,
  type OptionsDraft,
  onlyOf,
  pairs,
  renameOf,
} from './chosen-options.ts';

const MISTYPED = 'Each line must have the form name = name.';
const DANGLING: readonly {
  value: string;
  option: RestoreOptions['dangling'];
  label: string;
  description: string;
}[] = [
  {
    value: '',
    option: undefined,
    label: 'Default',
    description: 'Attach; drop if the label is renamed',
  },
  { value: 'stitch', option: 'stitch', label: 'Attach', description: 'If the other node exists' },
  { value: 'prune', option: 'prune', label: 'Drop', description: 'And report how many' },
  {
    value: 'defer',
    option: 'defer',
    label: 'Keep for later',
    description: 'Attach those that can be attached, keep the rest',
  },
];

/** A section of the form: the draft, and how it is changed. */
interface Part {
  readonly draft: OptionsDraft;
  readonly set: (changes: Partial<OptionsDraft>) => void;
}

/** The form for the options. Changed options are inspected again before the restore can be confirmed. */
export function OptionsForm({
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
  const { fail } = useNotices();
  const [draft, setDraft] = useState(() => draftOf(options));
  const [busy, setBusy] = useState(false);
  const set = (changes: Partial<OptionsDraft>) => setDraft((before) => ({ ...before, ...changes }));
  const mistyped = pairs(draft.toCollections) === undefined || pairs(draft.toParameters) === undefined;
  const chosen = chosenOptions(draft, options);
  const why =
    refusal('changeRestoreOptions', job) ??
    (mistyped
      ? 'Correct the marked lines.'
      : isChanged(chosen, options)
        ? undefined
        : 'No options have changed.');
  const inspect = async () => {
    setBusy(true);
    try {
      await api.changeRestoreOptions(job.job_id, chosen);
      onAnswer();
    } catch (error) {
      fail('The options could not be changed', error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <SpaceBetween size="l">
      <ModeFields draft={draft} set={set} />
      <ScopeFields draft={draft} set={set} inspection={inspection} />
      <Box float="right">
        <Button variant="primary" loading={busy} {...blocked(why)} onClick={inspect}>
          Inspect with these options
        </Button>
      </Box>
      <Box color="text-body-secondary">
        The archive and the target are compared again with these options. Nothing is written.
      </Box>
    </SpaceBetween>
  );
}

function ModeFields({ draft: { mode, onConflict, safety, allowEmpty, compare }, set }: Part) {
  return (
    <Container header={<Header variant="h2">Mode</Header>}>
      <SpaceBetween size="l">
        <FormField label="Mode" stretch>
          <Tiles
            value={mode}
            onChange={({ detail }) => set({ mode: detail.value as RestoreOptions['mode'] })}
            items={[
              {
                value: 'replace',
                label: 'Replace',
                description:
                  'Clear the scope of the target first. Afterwards, it contains exactly the archive.',
              },
              {
                value: 'merge',
                label: 'Merge',
                description: 'Keep existing records and add those of the archive.',
              },
              {
                value: 'if_empty',
                label: 'Only if empty',
                description: 'Refuse the restore if the scope of the target holds records.',
              },
            ]}
          />
        </FormField>
        {mode === 'merge' && (
          <FormField label="If a record exists in both with different content">
            <RadioGroup
              value={onConflict}
              onChange={({ detail }) => set({ onConflict: detail.value as RestoreOptions['on_conflict'] })}
              items={[
                { value: 'fail', label: 'Fail', description: 'The restore fails and is rolled back.' },
                { value: 'keep', label: 'Keep the existing record' },
                { value: 'overwrite', label: 'Overwrite it from the archive' },
              ]}
            />
          </FormField>
        )}
        <FormField label="Safety backup">
          <Checkbox checked={safety} onChange={({ detail }) => set({ safety: detail.checked })}>
            Back up the target first
          </Checkbox>
        </FormField>
        {mode === 'replace' && (
          <Checkbox checked={allowEmpty} onChange={({ detail }) => set({ allowEmpty: detail.checked })}>
            Allow clearing stores that have no records in the archive
          </Checkbox>
        )}
        <FormField label="Comparison" description="Reads all records of the archive and of the target.">
          <Checkbox checked={compare} onChange={({ detail }) => set({ compare: detail.checked })}>
            Compare record by record
          </Checkbox>
        </FormField>
        {!safety && (
          <Alert type="warning">
            Without a safety backup, a failed restore leaves the target in an incomplete state.
          </Alert>
        )}
      </SpaceBetween>
    </Container>
  );
}

function ScopeFields({ draft, set, inspection }: Part & { inspection: Inspection }) {
  const { stores, dangling, labelOrigin } = draft;
  const { api } = useSession();
  const deployment = useData('deployment', api.deployment);
  const target = deployment.data?.targets.find(({ name }) => name === inspection.target);
  const known = [...SERVED_ROLES, ...stores, ...inspection.stores.map(({ store }) => store)];
  const choices = inArchiveOrder(
    new Set((target?.stores.map(({ store }) => store) ?? known).filter(isServed)),
  );
  return (
    <Container header={<Header variant="h2">Scope</Header>}>
      <SpaceBetween size="l">
        <FormField
          label="Stores"
          description="Default: all stores that the archive and the target have in common."
        >
          <Multiselect
            selectedOptions={stores.map((store) => ({ value: store, label: storeName(store) }))}
            options={choices.map((store) => ({ value: store, label: storeName(store) }))}
            placeholder="All"
            onChange={({ detail }) =>
              set({
                stores: choices.filter((store) =>
                  detail.selectedOptions.some(({ value }) => value === store),
                ),
              })
            }
          />
        </FormField>
        <SubsetFields draft={draft} set={set} inspection={inspection} />
        <FormField
          label="Dangling relationships"
          description="One of their nodes is not in the archive. It may exist in the target."
        >
          <Select
            selectedOption={DANGLING.find(({ value }) => value === (dangling ?? '')) ?? null}
            options={DANGLING}
            onChange={({ detail }) =>
              set({ dangling: DANGLING.find(({ value }) => value === detail.selectedOption.value)?.option })
            }
          />
        </FormField>
        <FormField label="Origin">
          <Checkbox checked={labelOrigin} onChange={({ detail }) => set({ labelOrigin: detail.checked })}>
            Record the backup that the data comes from
          </Checkbox>
        </FormField>
        <RenameFields draft={draft} set={set} />
      </SpaceBetween>
    </Container>
  );
}

function SubsetFields({ draft, set, inspection }: Part & { inspection: Inspection }) {
  const { label, collections, namespaces, prefixes } = draft;
  const option = (value: string) => ({ value, label: value });
  const known = {
    collections: [...new Set([...namesIn(inspection, 'vectors', 'collections'), ...collections])],
    namespaces: [...new Set([...namesIn(inspection, 'kv', 'namespaces'), ...namespaces])],
  };
  return (
    <ExpandableSection headerText="Limit to a subset" defaultExpanded={onlyOf(draft) !== undefined}>
      <SpaceBetween size="m">
        <FormField label="Vector collections" description="Default: all, unless another subset is given.">
          <Multiselect
            selectedOptions={collections.map(option)}
            options={known.collections.map(option)}
            placeholder="All"
            empty="The archive lists no collections."
            onChange={({ detail }) =>
              set({ collections: detail.selectedOptions.map(({ value = '' }) => value) })
            }
          />
        </FormField>
        <FormField label="Key-value namespaces">
          <Multiselect
            selectedOptions={namespaces.map(option)}
            options={known.namespaces.map(option)}
            placeholder="All"
            empty="The archive lists no namespaces."
            onChange={({ detail }) =>
              set({ namespaces: detail.selectedOptions.map(({ value = '' }) => value) })
            }
          />
        </FormField>
        <FormField label="Key prefixes" description="Separate several with commas.">
          <Input value={prefixes} onChange={({ detail }) => set({ prefixes: detail.value })} />
        </FormField>
        <FormField label="Node label">
          <Input value={label} onChange={({ detail }) => set({ label: detail.value })} />
        </FormField>
      </SpaceBetween>
    </ExpandableSection>
  );
}

function RenameFields({ draft, set }: Part) {
  const { toLabel, toPrefix, toCollections, toParameters } = draft;
  return (
    <ExpandableSection headerText="Rename" defaultExpanded={renameOf(draft) !== undefined}>
      <SpaceBetween size="m">
        <FormField label="New node label" description="Default: as configured for the target.">
          <Input value={toLabel} onChange={({ detail }) => set({ toLabel: detail.value })} />
        </FormField>
        <FormField label="New key prefix" description="Default: as configured for the target.">
          <Input value={toPrefix} onChange={({ detail }) => set({ toPrefix: detail.value })} />
        </FormField>
        <PairsField
          label="New collection names"
          description="One per line: old name = new name."
          value={toCollections}
          onChange={(value) => set({ toCollections: value })}
        />
        <PairsField
          label="Profile parameters"
          description="For example, namespace = copy. All names derived from the parameters change."
          value={toParameters}
          onChange={(value) => set({ toParameters: value })}
        />
      </SpaceBetween>
    </ExpandableSection>
  );
}

/** Lines such as `old = new`. */
function PairsField({
  label,
  description,
  value,
  onChange,
}: {
  label: string;
  description: string;
  value: string;
  onChange: (value: string) => void;
}) {
  return (
    <FormField
      label={label}
      description={description}
      errorText={pairs(value) === undefined ? MISTYPED : undefined}
    >
      <Textarea rows={2} value={value} onChange={({ detail }) => onChange(detail.value)} />
    </FormField>
  );
}
