import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import Icon, { type IconProps } from '@cloudscape-design/components/icon';
import KeyValuePairs from '@cloudscape-design/components/key-value-pairs';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import { bytes, count } from '../../../cli/format.ts';
import type { SignatureCheck } from '../../../shared/core/signature.ts';
import { signatureText } from '../../../shared/core/signature-text.ts';
import type { Inspection } from '../../../shared/workflows/restore/inspection.ts';
import type { RestoreOptions } from '../../../shared/workflows/restore/request.ts';
import { Tally } from '../../job/restore-result.tsx';
import { ComparisonTable } from '../../parts/comparison.tsx';
import { Time } from '../../parts/time.tsx';
import { type CountDifference, differences, type Finding, findings } from './findings.ts';

/** The result of the inspection: the archive, the findings, and the comparison with the target. */
export function Report({
  inspection,
  options,
  ended = false,
  onNext,
}: {
  inspection: Inspection;
  options: RestoreOptions;
  /** The restore has ended: the findings are history. */
  ended?: boolean;
  onNext?: () => void;
}) {
  const { archive, stores, target, comparison } = inspection;
  return (
    <SpaceBetween size="l">
      {!ended && <Findings inspection={inspection} options={options} />}
      <Container header={<Header variant="h2">Archive</Header>}>
        <KeyValuePairs
          columns={3}
          items={[
            { label: 'Backup', value: <bdi className="anywhere">{archive.backup_id}</bdi> },
            { label: 'Created', value: <Time value={archive.created_at} /> },
            { label: 'Source target', value: <bdi>{archive.origin ?? 'unknown'}</bdi> },
            { label: 'Size', value: `${bytes(archive.bytes)}, ${count(archive.entries)} entries` },
            {
              label: 'Integrity',
              value: <StatusIndicator type="success">All bytes verified</StatusIndicator>,
            },
            ...(archive.signature
              ? [{ label: 'Signature', value: <SignatureSign check={archive.signature} /> }]
              : []),
            { label: 'Checksum', value: <code>{archive.checksum}</code> },
          ]}
        />
      </Container>
      <Table
        variant="container"
        wrapLines
        header={
          <Header
            variant="h2"
            description={`Inspected: ${stores.map(({ kind, version }) => `${kind} ${version}`).join(', ')}`}
          >
            Difference from <bdi>{target}</bdi>
          </Header>
        }
        items={differences(inspection)}
        trackBy={({ store, name }) => `${store} ${name}`}
        columnDefinitions={[
          {
            id: 'what',
            header: 'Item',
            isRowHeader: true,
            cell: ({ store, name }) => <Tally store={store} name={name} />,
          },
          { id: 'archive', header: 'In archive', cell: (row) => count(row.archive) },
          {
            id: 'target',
            header: ended ? 'In target before' : 'In target now',
            cell: (row) => count(row.target),
          },
          { id: 'change', header: 'Difference', cell: changeText },
        ]}
        empty={<Box>The archive and the target are empty.</Box>}
      />
      {comparison && (
        <ComparisonTable
          stores={comparison.stores}
          title="Changes, record by record"
          before={ended ? 'In target before' : 'In target now'}
          after="In archive"
          keeps={comparison.mode === 'merge'}
        />
      )}
      {onNext && (
        <Box float="right">
          <Button variant="primary" onClick={onNext}>
            Next
          </Button>
        </Box>
      )}
    </SpaceBetween>
  );
}

function SignatureSign({ check }: { check: SignatureCheck }) {
  const type = { valid: 'success', invalid: 'error', unsigned: 'info' } as const;
  const sign = check.state in type ? type[check.state as keyof typeof type] : 'warning';
  return (
    <StatusIndicator type={sign}>
      <span className="anywhere">{signatureText(check)}</span>
    </StatusIndicator>
  );
}

function changeText({ archive, target }: CountDifference): string {
  const change = archive - target;
  return change === 0 ? 'none' : `${change > 0 ? '+' : '−'}${count(Math.abs(change))}`;
}

const SIGNS: Record<Finding['severity'], Pick<IconProps, 'name' | 'variant' | 'ariaLabel'>> = {
  error: { name: 'status-negative', variant: 'error', ariaLabel: 'Error' },
  warning: { name: 'status-warning', variant: 'warning', ariaLabel: 'Warning' },
  info: { name: 'status-info', variant: 'subtle', ariaLabel: 'Information' },
};

/** The findings, most severe first. */
export function Findings({ inspection, options }: { inspection: Inspection; options: RestoreOptions }) {
  const found = findings(inspection, options);
  const bad = found.filter(({ severity }) => severity === 'error').length;
  const warnings = found.filter(({ severity }) => severity === 'warning').length;
  const type = bad > 0 ? 'error' : warnings > 0 ? 'warning' : 'success';
  const header =
    bad > 0
      ? 'This archive can’t be restored with these options'
      : warnings > 0
        ? `This archive can be restored. ${warnings === 1 ? 'Review the warning' : `Review the ${warnings} warnings`} first`
        : 'This archive can be restored';
  return (
    <Alert type={type} header={header}>
      <ul className="plain">
        {found.map(({ severity, text }) => (
          <li key={text}>
            <Icon {...SIGNS[severity]} /> <bdi>{text}</bdi>
          </li>
        ))}
      </ul>
    </Alert>
  );
}
