import Box from '@cloudscape-design/components/box';
import Checkbox from '@cloudscape-design/components/checkbox';
import DatePicker from '@cloudscape-design/components/date-picker';
import ExpandableSection from '@cloudscape-design/components/expandable-section';
import FormField from '@cloudscape-design/components/form-field';
import Input from '@cloudscape-design/components/input';
import Multiselect from '@cloudscape-design/components/multiselect';
import RadioGroup from '@cloudscape-design/components/radio-group';
import Select from '@cloudscape-design/components/select';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Textarea from '@cloudscape-design/components/textarea';
import { policyText } from '../../cli/format.ts';
import type { Deployment } from '../../shared/operations/describe-deployment.ts';
import { storeName } from '../job/store-bars.tsx';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';
import { type BackupDraft, partOf, problemsOf } from './draft.ts';

/** The target, which a backup and a drill have in common. */
export function TargetField({
  draft,
  deployment,
  onChange,
}: {
  draft: BackupDraft;
  deployment: Deployment;
  onChange: (draft: BackupDraft) => void;
}) {
  const targets = deployment.targets.map(({ name, profile }) => ({
    value: name,
    label: name,
    description: `profile ${profile}`,
  }));
  return (
    <FormField
      label="Target"
      description="An administrator configures which labels, collections and key prefixes belong to a target."
    >
      <Select
        selectedOption={targets.find(({ value }) => value === draft.target) ?? null}
        placeholder="Choose a target"
        options={targets}
        onChange={({ detail }) =>
          onChange({ ...draft, target: detail.selectedOption.value ?? '', stores: [] })
        }
      />
    </FormField>
  );
}

/** The fields that a backup and a schedule have in common: what to back up and how long to keep it. */
export function BackupFields({
  draft,
  deployment,
  showProblems,
  onChange,
}: {
  draft: BackupDraft;
  deployment: Deployment;
  /** Shown only after an attempt to submit, not while the user types. */
  showProblems: boolean;
  onChange: (draft: BackupDraft) => void;
}) {
  const { api } = useSession();
  const policy = useData('retention', api.showRetention).data?.policy;
  const problems = showProblems ? problemsOf(draft) : {};
  const set = (changes: Partial<BackupDraft>) => onChange({ ...draft, ...changes });
  const target = deployment.targets.find(({ name }) => name === draft.target);
  const stores = (target?.stores ?? []).map(({ store, kind }) => ({
    value: store,
    label: storeName(store),
    description: kind,
  }));
  return (
    <SpaceBetween size="l">
      <TargetField draft={draft} deployment={deployment} onChange={onChange} />
      <FormField
        label="Stores"
        description="Default: all. If you select some of them, the backup is partial."
      >
        <Multiselect
          selectedOptions={stores.filter(({ value }) => draft.stores.includes(value))}
          options={stores}
          placeholder="All"
          onChange={({ detail }) =>
            set({
              stores: stores
                .map(({ value }) => value)
                .filter((store) => detail.selectedOptions.some(({ value }) => value === store)),
            })
          }
        />
      </FormField>
      <ExpandableSection headerText="Limit to a subset" defaultExpanded={partOf(draft) !== undefined}>
        <SpaceBetween size="m">
          <Box color="text-body-secondary">
            Each name must exist. If no stores are selected above, only the stores with names here are backed
            up. Separate names with commas.
          </Box>
          <FormField label="Node label">
            <Input value={draft.label} onChange={({ detail }) => set({ label: detail.value })} />
          </FormField>
          <FormField label="Vector collections">
            <Input value={draft.collections} onChange={({ detail }) => set({ collections: detail.value })} />
          </FormField>
          <FormField label="Key-value namespaces" description="For example, text_chunks.">
            <Input value={draft.namespaces} onChange={({ detail }) => set({ namespaces: detail.value })} />
          </FormField>
          <FormField label="Key prefixes">
            <Input value={draft.keyPrefixes} onChange={({ detail }) => set({ keyPrefixes: detail.value })} />
          </FormField>
        </SpaceBetween>
      </ExpandableSection>
      <Checkbox
        checked={draft.full}
        description="Otherwise, the data of a store that provably did not change is copied from an earlier backup."
        onChange={({ detail }) => set({ full: detail.checked })}
      >
        Read every store
      </Checkbox>
      <FormField label="Tags" description="Separated by commas." errorText={problems.tags}>
        <Input value={draft.tags} onChange={({ detail }) => set({ tags: detail.value })} />
      </FormField>
      <FormField label="Note" errorText={problems.note}>
        <Textarea rows={2} value={draft.note} onChange={({ detail }) => set({ note: detail.value })} />
      </FormField>
      <FormField label="Retention">
        <RadioGroup
          value={draft.keep}
          onChange={({ detail }) => set({ keep: detail.value as BackupDraft['keep'] })}
          items={[
            {
              value: 'policy',
              label: 'According to the retention policy',
              description: policy && `Current: ${policyText(policy)}.`,
            },
            { value: 'days', label: 'For a number of days' },
            { value: 'date', label: 'Until a date' },
            { value: 'permanent', label: 'Forever' },
          ]}
        />
      </FormField>
      {draft.keep === 'days' && (
        <FormField label="Days" errorText={problems.keep}>
          <Input
            inputMode="numeric"
            value={draft.days}
            onChange={({ detail }) => set({ days: detail.value })}
          />
        </FormField>
      )}
      {draft.keep === 'date' && (
        <FormField label="Last day" errorText={problems.keep}>
          <DatePicker
            placeholder="YYYY/MM/DD"
            value={draft.date}
            isDateEnabled={(date) => date.getTime() > Date.now()}
            onChange={({ detail }) => set({ date: detail.value })}
          />
        </FormField>
      )}
    </SpaceBetween>
  );
}
