import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import FormField from '@cloudscape-design/components/form-field';
import Grid from '@cloudscape-design/components/grid';
import Header from '@cloudscape-design/components/header';
import ProgressBar from '@cloudscape-design/components/progress-bar';
import Select, { type SelectProps } from '@cloudscape-design/components/select';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useEffect, useRef, useState } from 'react';
import { count, localTime } from '../../cli/format.ts';
import type { BackupSummary } from '../../shared/catalog/summaries.ts';
import type { BackupDiff } from '../../shared/operations/diff-backups.ts';
import { isSame } from '../../shared/stores/comparison/is-same.ts';
import { useTitle } from '../job/title.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { Command, quoted } from '../parts/command.tsx';
import { ComparisonTable } from '../parts/comparison.tsx';
import { Problem } from '../parts/states.tsx';
import type { PageProps } from '../router.ts';
import { href, navigate } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

/** The API's largest page. */
const BACKUPS_MAX = 1000;

/** Compares two backups record by record: `#/compare?from=<id>&to=<id>`. */
export default function Compare({ route: { query } }: PageProps) {
  const { api, refusal } = useSession();
  const { fail } = useNotices();
  const loaded = useData('backups to compare', (signal) => api.listBackups({ limit: BACKUPS_MAX }, signal));
  const backups = loaded.data?.backups ?? [];
  const to = query.get('to') ?? undefined;
  const from = query.get('from') ?? precedingOf(backups, to);
  const [running, setRunning] = useState<AbortController>();
  const [diff, setDiff] = useState<BackupDiff>();
  const latest = useRef(running);
  latest.current = running;
  useEffect(() => () => latest.current?.abort(), []);
  useTitle('Compare backups');

  const choose = (changes: { from?: string; to?: string }) => {
    const chosen = {
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
      ...changes,
    };
    navigate(href(['compare'], chosen), { replace: true });
  };
  const compare = async () => {
    if (from === undefined || to === undefined) return;
    const abort = new AbortController();
    setRunning(abort);
    setDiff(undefined);
    try {
      let leg = await api.diffBackups(from, { to }, abort.signal);
      setDiff(leg);
      while (!leg.done) {
        leg = await api.diffBackups(from, { to, cursor: leg.cursor }, abort.signal);
        setDiff(leg);
      }
    } catch (error) {
      if (!abort.signal.aborted) fail('The backups could not be compared', error);
      setDiff(undefined);
    } finally {
      setRunning(undefined);
    }
  };
  const why =
    refusal('diffBackups') ??
    (from === undefined || to === undefined
      ? 'Choose two backups.'
      : from === to
        ? 'Choose two different backups.'
        : undefined);
  const shown = diff?.done && diff.backup_id === from && diff.to === to ? diff : undefined;
  return (
    <SpaceBetween size="l">
      {loaded.error && <Problem error={loaded.error} retry={loaded.reload} />}
      <Container
        header={
          <Header
            variant="h1"
            description="Finds which records were added, changed and removed. Reads both archives, and no store."
            actions={
              running ? (
                <Button onClick={() => running.abort()}>Stop</Button>
              ) : (
                <Button variant="primary" onClick={() => void compare()} {...blocked(why)}>
                  Compare
                </Button>
              )
            }
          >
            Compare backups
          </Header>
        }
        footer={
          from !== undefined && to !== undefined ? (
            <Command line={`ngbak diff ${quoted(from)} ${quoted(to)}`} />
          ) : undefined
        }
      >
        <Grid gridDefinition={[{ colspan: { default: 12, s: 6 } }, { colspan: { default: 12, s: 6 } }]}>
          <BackupField
            label="Before"
            chosen={from}
            backups={backups}
            isBusy={running !== undefined}
            onChoose={(id) => choose({ from: id })}
          />
          <BackupField
            label="After"
            chosen={to}
            backups={backups}
            isBusy={running !== undefined}
            onChoose={(id) => choose({ to: id })}
          />
        </Grid>
      </Container>
      {running && <Running diff={diff} />}
      {shown?.stores.every(isSame) && (
        <Alert type="success" header="No differences">
          Both backups have the same records, with the same content.
        </Alert>
      )}
      {shown && <ComparisonTable stores={shown.stores} title="Changes" before="Before" after="After" />}
    </SpaceBetween>
  );
}

function Running({ diff }: { diff: BackupDiff | undefined }) {
  const { store, records, total } = diff?.progress ?? { store: undefined, records: 0, total: 0 };
  return (
    <ProgressBar
      value={total === 0 ? 0 : Math.min(99, Math.floor((records / total) * 100))}
      label="Comparing"
      {...(store === undefined
        ? {}
        : { description: `${store}: ${count(records)} of ${count(total)} records read` })}
    />
  );
}

function BackupField({
  label,
  chosen,
  backups,
  isBusy,
  onChoose,
}: {
  label: string;
  chosen: string | undefined;
  backups: readonly BackupSummary[];
  isBusy: boolean;
  onChoose: (id: string) => void;
}) {
  const options = backups.map(
    ({ backup_id, target, created_at }): SelectProps.Option => ({
      value: backup_id,
      label: backup_id,
      description: `${target}, ${localTime(created_at)}`,
    }),
  );
  const selected =
    options.find(({ value }) => value === chosen) ??
    (chosen === undefined ? null : { value: chosen, label: chosen });
  return (
    <FormField label={label}>
      <Select
        selectedOption={selected}
        options={options}
        disabled={isBusy}
        filteringType="auto"
        placeholder="Choose a backup"
        empty="There are no backups."
        onChange={({ detail }) => onChoose(detail.selectedOption.value ?? '')}
      />
    </FormField>
  );
}

/** The backup of the same target before this one. The list is sorted by time, newest first. */
function precedingOf(backups: readonly BackupSummary[], id: string | undefined): string | undefined {
  const at = backups.findIndex(({ backup_id }) => backup_id === id);
  const target = backups[at]?.target;
  return at < 0 ? undefined : backups.slice(at + 1).find((other) => other.target === target)?.backup_id;
}
