import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import ColumnLayout from '@cloudscape-design/components/column-layout';
import Container from '@cloudscape-design/components/container';
import CopyToClipboard from '@cloudscape-design/components/copy-to-clipboard';
import FormField from '@cloudscape-design/components/form-field';
import Header from '@cloudscape-design/components/header';
import Input from '@cloudscape-design/components/input';
import Link from '@cloudscape-design/components/link';
import Pagination from '@cloudscape-design/components/pagination';
import SegmentedControl from '@cloudscape-design/components/segmented-control';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import { useState } from 'react';
import { bytes, count } from '../../../cli/format.ts';
import type { Pruned } from '../../../shared/operations/prune.ts';
import type { RetentionPolicy } from '../../../shared/retention/policy.ts';
import { useNotices } from '../../notices.tsx';
import { Empty } from '../../parts/states.tsx';
import { href } from '../../router.ts';
import { useSession } from '../../session.tsx';

const RULES: readonly (readonly [keyof RetentionPolicy, string])[] = [
  ['keep_last', 'Newest'],
  ['keep_daily', 'Daily'],
  ['keep_weekly', 'Weekly'],
  ['keep_monthly', 'Monthly'],
  ['keep_yearly', 'Yearly'],
];
/** Largest number that the policy takes: ten years of days. */
const KEEP_MAX = 3660;
const PAGE = 50;

type Typed = Record<keyof RetentionPolicy, string>;

/** What the retention policy keeps and drops, and what another one would. Nothing is deleted here. */
export function RetentionPreview({ policy }: { policy: RetentionPolicy }) {
  const { api } = useSession();
  const { fail } = useNotices();
  const [typed, setTyped] = useState<Typed>(() => asTyped(policy));
  const [busy, setBusy] = useState(false);
  const [found, setFound] = useState<{ pruned: Pruned; own: boolean }>();
  const wrong = RULES.filter(([key]) => !isCount(typed[key]));
  const own = RULES.every(([key]) => typed[key] === String(policy[key]));
  const tried = Object.fromEntries(RULES.map(([key]) => [key, Number(typed[key])])) as RetentionPolicy;
  const preview = async () => {
    setBusy(true);
    try {
      setFound({ pruned: await api.prune(own ? { dry_run: true } : { dry_run: true, policy: tried }), own });
    } catch (error) {
      fail('The preview failed', error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <SpaceBetween size="m">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (wrong.length === 0) void preview();
        }}
      >
        <Container
          header={
            <Header
              variant="h2"
              description="How many backups of each target are kept. Try other numbers: a preview deletes nothing."
            >
              Retention
            </Header>
          }
        >
          <SpaceBetween size="m">
            <ColumnLayout columns={4}>
              {RULES.map(([key, label]) => (
                <FormField
                  key={key}
                  label={label}
                  errorText={isCount(typed[key]) ? undefined : `A number from 0 to ${KEEP_MAX}.`}
                >
                  <Input
                    inputMode="numeric"
                    value={typed[key]}
                    onChange={({ detail }) => setTyped({ ...typed, [key]: detail.value })}
                  />
                </FormField>
              ))}
            </ColumnLayout>
            <SpaceBetween direction="horizontal" size="xs">
              <Button variant="primary" formAction="submit" loading={busy} disabled={wrong.length > 0}>
                Preview
              </Button>
              {!own && (
                <Button formAction="none" onClick={() => setTyped(asTyped(policy))}>
                  As deployed
                </Button>
              )}
            </SpaceBetween>
            {!own && wrong.length === 0 && (
              <Alert type="info" header="To make this the policy, put it into cdk.json and deploy">
                <CopyToClipboard
                  variant="inline"
                  textToCopy={`"retention": ${JSON.stringify(tried)}`}
                  copyButtonAriaLabel="Copy the policy"
                  copySuccessText="Copied"
                  copyErrorText="The browser did not let it be copied"
                />
              </Alert>
            )}
          </SpaceBetween>
        </Container>
      </form>
      {found && <Decisions pruned={found.pruned} own={found.own} />}
    </SpaceBetween>
  );
}

function asTyped(policy: RetentionPolicy): Typed {
  return Object.fromEntries(RULES.map(([key]) => [key, String(policy[key])])) as Typed;
}

function isCount(text: string): boolean {
  return /^[0-9]{1,4}$/.test(text) && Number(text) <= KEEP_MAX;
}

function Decisions({ pruned, own }: { pruned: Pruned; own: boolean }) {
  const [show, setShow] = useState<'drop' | 'keep'>('drop');
  const [page, setPage] = useState(1);
  const { backups, bytes_freed, unreadable } = pruned;
  const rows = backups.filter(({ action }) => action === show);
  const dropped = backups.filter(({ action }) => action === 'drop').length;
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  return (
    <SpaceBetween size="m">
      <StatusIndicator type={dropped === 0 ? 'success' : 'info'}>
        {dropped === 0
          ? `All ${count(backups.length)} backups are kept.`
          : `${count(dropped)} of ${count(backups.length)} backups ${own ? 'go with the next daily run' : 'would go'}: ${bytes(bytes_freed)}.`}
      </StatusIndicator>
      {unreadable.length > 0 && (
        <Alert type="warning">
          {count(unreadable.length)} records can’t be read; those backups are kept.
        </Alert>
      )}
      <Table
        variant="container"
        wrapLines
        trackBy="backup_id"
        items={rows.slice((page - 1) * PAGE, page * PAGE)}
        header={
          <Header
            variant="h2"
            counter={`(${count(rows.length)})`}
            actions={
              <SegmentedControl
                label="Which backups"
                selectedId={show}
                onChange={({ detail }) => {
                  setShow(detail.selectedId === 'keep' ? 'keep' : 'drop');
                  setPage(1);
                }}
                options={[
                  { id: 'drop', text: 'Dropped' },
                  { id: 'keep', text: 'Kept' },
                ]}
              />
            }
          >
            Preview
          </Header>
        }
        pagination={
          pages > 1 ? (
            <Pagination
              currentPageIndex={page}
              pagesCount={pages}
              onChange={({ detail }) => setPage(detail.currentPageIndex)}
              ariaLabels={{ nextPageLabel: 'Next page', previousPageLabel: 'Previous page' }}
            />
          ) : undefined
        }
        columnDefinitions={[
          {
            id: 'backup',
            header: 'Backup',
            isRowHeader: true,
            cell: ({ backup_id }) => (
              <Link href={href(['backup', backup_id])}>
                <span className="anywhere">{backup_id}</span>
              </Link>
            ),
          },
          { id: 'target', header: 'Of', cell: ({ target }) => <bdi>{target}</bdi> },
          { id: 'size', header: 'Size', cell: (row) => bytes(row.bytes) },
          { id: 'why', header: 'Why', cell: ({ reasons }) => reasons.join('; ') },
        ]}
        empty={
          <Empty title={show === 'drop' ? 'Nothing is dropped' : 'Nothing is kept'}>
            <Box color="inherit">
              {show === 'drop' ? 'Every backup has a rule that keeps it.' : 'There are no backups.'}
            </Box>
          </Empty>
        }
      />
    </SpaceBetween>
  );
}
