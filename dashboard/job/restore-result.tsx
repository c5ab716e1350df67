import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Table from '@cloudscape-design/components/table';
import { count } from '../../cli/format.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import { warningText } from '../../shared/stores/describe-warning.ts';
import type { BackupResult } from '../../shared/workflows/backup/record.ts';
import type { RestoreResult } from '../../shared/workflows/restore/close.ts';
import { href } from '../router.ts';
import { storeName } from './store-bars.tsx';

/** The result of a completed restore, and how it was verified. */
export function RestoreOutcome({ job }: { job: JobView }) {
  const result = job.result as
    | (Partial<RestoreResult> & { dry_run?: boolean; refused?: boolean })
    | undefined;
  if (job.state === 'completed' && result?.dry_run) {
    return (
      <Alert type={result.refused ? 'warning' : 'success'} header="Dry run complete">
        {result.refused
          ? 'This archive can’t be restored into this target. The inspection lists the problems. Nothing was changed.'
          : 'This archive can be restored into this target. Nothing was changed.'}
      </Alert>
    );
  }
  if (job.state === 'completed') return <Proof job={job} result={result} />;
  const errorText = job.error && (
    <>
      <strong>{job.error.name}:</strong> <bdi>{job.error.message}</bdi>
    </>
  );
  if (job.state === 'rolled_back') {
    return (
      <Alert type="warning" header={`Rolled back: ${job.target} has its previous contents`}>
        {errorText}
      </Alert>
    );
  }
  if (job.state === 'cancelled') {
    return (
      <Alert type="info" header="Cancelled">
        {errorText ?? 'Nothing was changed.'}
      </Alert>
    );
  }
  return (
    <Alert type="error" header="The restore failed">
      {errorText}
    </Alert>
  );
}

function Proof({ job, result }: { job: JobView; result: Partial<RestoreResult> | undefined }) {
  const dangling = result?.dangling;
  const warnings = result?.warnings ?? [];
  const rows = Object.entries(result?.stores ?? {}).flatMap(([store, { loaded, read_back }]) =>
    [...new Set([...Object.keys(loaded), ...Object.keys(read_back)])].map((name) => ({
      store,
      name,
      loaded: loaded[name]?.count,
      readBack: read_back[name]?.count,
    })),
  );
  return (
    <SpaceBetween size="m">
      <Alert type="success" header="Restored and verified">
        Every record of <bdi>{job.target}</bdi> was read back and compared with the archive. No differences
        were found. {job.backup_id && <Link href={href(['backup', job.backup_id])}>Show backup</Link>}
      </Alert>
      {warnings.length > 0 && (
        <Alert type="warning" header="Warnings">
          {warnings.map((warning) => (
            <div key={`${warning.store} ${warning.text}`}>
              {warning.store}: <bdi>{warningText(warning)}</bdi>
            </div>
          ))}
        </Alert>
      )}
      {dangling && (
        <Alert type={dangling.left_out > 0 ? 'warning' : 'info'} header="Dangling relationships">
          {count(dangling.attached)} attached, {count(dangling.left_out)} omitted.{' '}
          {dangling.kept && (
            <>
              The omitted ones are kept: <code>ngbak attach {job.job_id}</code> attaches them once their other
              node exists.
            </>
          )}
        </Alert>
      )}
      <Table
        variant="container"
        header={<Header variant="h2">Restored data</Header>}
        items={rows}
        trackBy={({ store, name }) => `${store} ${name}`}
        columnDefinitions={[
          {
            id: 'what',
            header: 'Item',
            isRowHeader: true,
            cell: ({ store, name }) => <Tally store={store} name={name} />,
          },
          {
            id: 'loaded',
            header: 'Loaded',
            cell: ({ loaded }) => (loaded === undefined ? '–' : count(loaded)),
          },
          {
            id: 'read',
            header: 'Read back, identical',
            cell: ({ readBack }) => (readBack === undefined ? '–' : count(readBack)),
          },
        ]}
        empty={<Box>The workflow reported no counts.</Box>}
      />
    </SpaceBetween>
  );
}

/** The name of a tally: the store in words, and the item counted in it, whose name may be in any script. */
export function Tally({ store, name }: { store: string; name: string }) {
  return (
    <>
      {storeName(store as 'graph')}: <bdi>{name}</bdi>
    </>
  );
}

/** The error of a failed backup, or its result. */
export function BackupOutcome({ job }: { job: JobView }) {
  if (job.state === 'completed') {
    const { warnings = [] } = (job.result ?? {}) as Partial<BackupResult>;
    return (
      <Alert
        type={warnings.length > 0 ? 'warning' : 'success'}
        header={warnings.length > 0 ? 'Backed up and verified, with warnings' : 'Backed up and verified'}
      >
        {warnings.map((warning) => (
          <div key={`${warning.store} ${warning.text}`}>
            {warning.store}: <bdi>{warningText(warning)}</bdi>
          </div>
        ))}
        {job.backup_id ? (
          <Link href={href(['backup', job.backup_id])}>
            <span className="anywhere">{job.backup_id}</span>
          </Link>
        ) : (
          'The backup is in the catalog.'
        )}
      </Alert>
    );
  }
  return (
    <Container>
      <Alert
        type={job.state === 'cancelled' ? 'info' : 'error'}
        header={job.state === 'cancelled' ? 'Cancelled' : 'The backup failed'}
      >
        {job.error ? (
          <>
            <strong>{job.error.name}:</strong> <bdi>{job.error.message}</bdi>
          </>
        ) : (
          'The unfinished backup was removed.'
        )}
      </Alert>
    </Container>
  );
}
