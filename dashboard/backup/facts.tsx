import Box from '@cloudscape-design/components/box';
import ColumnLayout from '@cloudscape-design/components/column-layout';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import KeyValuePairs from '@cloudscape-design/components/key-value-pairs';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { byChecksumText, bytes, count, duration, readingText } from '../../cli/format.ts';
import type { BackupView } from '../../shared/operations/show-backup.ts';
import { countsText, GradeSign, StateSign, scopeText, VerificationSign } from '../backups/texts.tsx';
import { Copyable } from '../parts/command.tsx';
import { Time } from '../parts/time.tsx';
import { href } from '../router.ts';
import { StorageFacts } from './storage.tsx';

/** The facts about a backup: its origin, its contents, and how it was verified. */
export function BackupProperties({ record }: { record: BackupView }) {
  const { archive, consistency, verification } = record;
  const changes = Object.entries(consistency.changes).filter(([, what]) => what.length > 0);
  return (
    <Container header={<Header variant="h2">Details</Header>}>
      <SpaceBetween size="l">
        <KeyValuePairs
          columns={3}
          minColumnWidth={150}
          items={[
            { label: 'State', value: <StateSign backup={record} /> },
            { label: 'Time', value: <Time value={record.created_at} /> },
            { label: 'Target', value: <bdi>{record.target}</bdi> },
            {
              label: 'Scope',
              value:
                record.type === 'full' ? (
                  `Full: ${record.stores.join(', ')}`
                ) : (
                  <bdi>Partial: {scopeText(record)}</bdi>
                ),
            },
            {
              label: 'Size',
              value: `${bytes(archive.bytes)}, uncompressed ${bytes(record.uncompressed_bytes)}`,
            },
            { label: 'Duration', value: duration(record.duration_seconds) },
            {
              label: 'Requested by',
              value: (
                <Link href={href(['job', record.job_id])}>
                  <bdi>{record.requested_by ?? 'unknown'}</bdi>
                </Link>
              ),
            },
            {
              label: 'Verification',
              value: (
                <SpaceBetween size="xxs">
                  <VerificationSign verification={verification} />
                  <Time value={verification.at} />
                  <Box fontSize="body-s">{byChecksumText(verification)}</Box>
                </SpaceBetween>
              ),
            },
            {
              label: 'Consistency',
              value: (
                <SpaceBetween size="xxs">
                  <GradeSign grade={consistency.grade} />
                  {changes.map(([store, what]) => (
                    <Box key={store} fontSize="body-s">
                      {store}: {what.join('; ')}
                    </Box>
                  ))}
                </SpaceBetween>
              ),
            },
            {
              label: 'Signature',
              value: record.signature ? (
                <bdi className="anywhere">Signed with {record.signature.key_id}</bdi>
              ) : (
                'None'
              ),
            },
            ...(record.storage
              ? [{ label: 'Storage class', value: <StorageFacts storage={record.storage} /> }]
              : []),
            ...(record.readings
              ? [
                  {
                    label: 'Read',
                    value: (
                      <SpaceBetween size="xxs">
                        {Object.entries(record.readings).map(([store, reading]) => (
                          <Box key={store} fontSize="body-s">
                            {store}: {readingText(reading)}
                          </Box>
                        ))}
                      </SpaceBetween>
                    ),
                  },
                ]
              : []),
            { label: 'Counts', value: countsText(record.statistics) || 'Not counted' },
          ]}
        />
        {verification.problems && (
          <Box color="text-status-error">
            {verification.problems.map((problem) => (
              <div key={problem}>{problem}</div>
            ))}
          </Box>
        )}
        <ColumnLayout columns={1} borders="horizontal">
          <div>
            <Box variant="awsui-key-label">Checksum (SHA-256 over all entries)</Box>
            <code>
              <Copyable text={archive.checksum} what="checksum" />
            </code>
          </div>
          <div>
            <Box variant="awsui-key-label">Object in the bucket</Box>
            <code>
              <Copyable text={archive.key} what="key" />
            </code>
            <Box fontSize="body-s" color="text-body-secondary">
              {count(archive.entries)} entries, {archive.codec}, CRC-32 {archive.crc32}, ngbak{' '}
              {record.ngbak_version}
            </Box>
          </div>
        </ColumnLayout>
      </SpaceBetween>
    </Container>
  );
}
