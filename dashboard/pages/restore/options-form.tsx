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
import type { JobView } from '../../../shared/operations/show-job.ts';
import type { Inspection } from '../../../shared/workflows/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/workflows/restore/request.ts';
import { storeName } from '../../job/store-bars.tsx';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { useSession } from '../../session.tsx';
import { linesOf, namesIn, pairs, withoutEmpty, words } from './chosen-options.ts';

type Store = 'graph' | 'vectors' | 'kv';
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
const STORES: readonly Store[] = ['graph', 'vectors', 'kv'];

/** How the restore is to be done. Changed options are inspected again before anything can be confirmed. */
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
  const [mode, setMode] = useState(options.mode);
  const [onConflict, setOnConflict] = useState(options.on_conflict);
  const [stores, setStores] = useState<readonly Store[]>(
    STORES.filter((store) => options.stores?.includes(store)),
  );
  const [safety, setSafety] = useState(options.safety_backup);
  const [allowEmpty, setAllowEmpty] = useState(options.allow_empty ?? false);
  const [label, setLabel] = useState(options.only?.label ?? '');
  const [collections, setCollections] = useState<readonly string[]>(options.only?.collections ?? []);
  const [namespaces, setNamespaces] = useState<readonly string[]>(options.only?.namespaces ?? []);
  const [prefixes, setPrefixes] = useState((options.only?.key_prefixes ?? []).join(', '));
  const [toLabel, setToLabel] = useState(options.rename?.label ?? '');
  const [toPrefix, setToPrefix] = useState(options.rename?.key_prefix ?? '');
  const [toCollections, setToCollections] = useState(linesOf(options.rename?.collections));
  const [toParameters, setToParameters] = useState(linesOf(options.rename?.parameters));
  const [dangling, setDangling] = useState(options.dangling);
  const [labelOrigin, setLabelOrigin] = useState(options.label_origin ?? false);
  const [busy, setBusy] = useState(false);

  const only = withoutEmpty({
    label,
    collections: [...collections],
    namespaces: [...namespaces],
    key_prefixes: words(prefixes),
  });
  const renamed = { collections: pairs(toCollections), parameters: pairs(toParameters) };
  const mistyped = renamed.collections === undefined || renamed.parameters === undefined;
  const rename = withoutEmpty({ label: toLabel, key_prefix: toPrefix, ...renamed });
  const chosen = {
    mode,
    on_conflict: onConflict,
    safety_backup: safety,
    ...(allowEmpty || options.allow_empty !== undefined ? { allow_empty: allowEmpty } : {}),
    ...(stores.length === 0 ? {} : { stores: [...stores] }),
    ...(only ? { only } : {}),
    ...(rename ? { rename } : {}),
    ...(dangling === undefined ? {} : { dangling }),
    // What the archive was read with stays as it is.
    ...(options.cypher_script === undefined ? {} : { cypher_script: options.cypher_script }),
    ...(options.default_expiries === undefined ? {} : { default_expiries: options.default_expiries }),
    ...(labelOrigin || options.label_origin !== undefined ? { label_origin: labelOrigin } : {}),
  };
  const { dry_run: _, ...before } = options;
  const changed = sorted(chosen) !== sorted(before);
  const why =
    refusal('changeRestoreOptions', job) ??
    (mistyped ? 'Correct the marked lines.' : changed ? undefined : 'No options have changed.');
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
  const option = (value: string) => ({ value, label: value });
  const known = {
    collections: [...new Set([...namesIn(inspection, 'vectors', 'collections'), ...collections])],
    namespaces: [...new Set([...namesIn(inspection, 'kv', 'namespaces'), ...namespaces])],
  };
  return (
    <SpaceBetween size="l">
      <Container header={<Header variant="h2">Mode</Header>}>
        <SpaceBetween size="l">
          <FormField label="Mode" stretch>
            <Tiles
              value={mode}
              onChange={({ detail }) => setMode(detail.value as RestoreOptions['mode'])}
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
                onChange={({ detail }) => setOnConflict(detail.value as RestoreOptions['on_conflict'])}
                items={[
                  { value: 'fail', label: 'Fail', description: 'The restore fails and is rolled back.' },
                  { value: 'keep', label: 'Keep the existing record' },
                  { value: 'overwrite', label: 'Overwrite it from the archive' },
                ]}
              />
            </FormField>
          )}
          <FormField label="Safety backup">
            <Checkbox checked={safety} onChange={({ detail }) => setSafety(detail.checked)}>
              Back up the target first
            </Checkbox>
          </FormField>
          {mode === 'replace' && (
            <Checkbox checked={allowEmpty} onChange={({ detail }) => setAllowEmpty(detail.checked)}>
              Allow clearing stores that have no records in the archive
            </Checkbox>
          )}
          {!safety && (
            <Alert type="warning">
              Without a safety backup, a failed restore leaves the target in an incomplete state.
            </Alert>
          )}
        </SpaceBetween>
      </Container>
      <Container header={<Header variant="h2">Scope</Header>}>
        <SpaceBetween size="l">
          <FormField
            label="Stores"
            description="Default: all stores that the archive and the target have in common."
          >
            <Multiselect
              selectedOptions={stores.map((store) => ({ value: store, label: storeName(store) }))}
              options={STORES.map((store) => ({ value: store, label: storeName(store) }))}
              placeholder="All"
              onChange={({ detail }) =>
                setStores(
                  STORES.filter((store) => detail.selectedOptions.some(({ value }) => value === store)),
                )
              }
            />
          </FormField>
          <ExpandableSection headerText="Limit to a subset" defaultExpanded={only !== undefined}>
            <SpaceBetween size="m">
              <FormField
                label="Vector collections"
                description="Default: all, unless another subset is given."
              >
                <Multiselect
                  selectedOptions={collections.map(option)}
                  options={known.collections.map(option)}
                  placeholder="All"
                  empty="The archive lists no collections."
                  onChange={({ detail }) =>
                    setCollections(detail.selectedOptions.map(({ value = '' }) => value))
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
                    setNamespaces(detail.selectedOptions.map(({ value = '' }) => value))
                  }
                />
              </FormField>
              <FormField label="Key prefixes" description="Separate several with commas.">
                <Input value={prefixes} onChange={({ detail }) => setPrefixes(detail.value)} />
              </FormField>
              <FormField label="Node label">
                <Input value={label} onChange={({ detail }) => setLabel(detail.value)} />
              </FormField>
            </SpaceBetween>
          </ExpandableSection>
          <FormField
            label="Dangling relationships"
            description="One of their nodes is not in the archive. It may exist in the target."
          >
            <Select
              selectedOption={DANGLING.find(({ value }) => value === (dangling ?? '')) ?? null}
              options={DANGLING}
              onChange={({ detail }) =>
                setDangling(DANGLING.find(({ value }) => value === detail.selectedOption.value)?.option)
              }
            />
          </FormField>
          <FormField label="Origin">
            <Checkbox checked={labelOrigin} onChange={({ detail }) => setLabelOrigin(detail.checked)}>
              Record the backup that the data comes from
            </Checkbox>
          </FormField>
          <ExpandableSection headerText="Rename" defaultExpanded={rename !== undefined}>
            <SpaceBetween size="m">
              <FormField label="New node label" description="Default: as configured for the target.">
                <Input value={toLabel} onChange={({ detail }) => setToLabel(detail.value)} />
              </FormField>
              <FormField label="New key prefix" description="Default: as configured for the target.">
                <Input value={toPrefix} onChange={({ detail }) => setToPrefix(detail.value)} />
              </FormField>
              <FormField
                label="New collection names"
                description="One per line: old name = new name."
                errorText={renamed.collections === undefined ? MISTYPED : undefined}
              >
                <Textarea
                  rows={2}
                  value={toCollections}
                  onChange={({ detail }) => setToCollections(detail.value)}
                />
              </FormField>
              <FormField
                label="Profile parameters"
                description="For example, namespace = copy. All names derived from the parameters change."
                errorText={renamed.parameters === undefined ? MISTYPED : undefined}
              >
                <Textarea
                  rows={2}
                  value={toParameters}
                  onChange={({ detail }) => setToParameters(detail.value)}
                />
              </FormField>
            </SpaceBetween>
          </ExpandableSection>
        </SpaceBetween>
      </Container>
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

/** Says the same of two objects with the same content, in whatever order it was set. */
function sorted(value: object): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
