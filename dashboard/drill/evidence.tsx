import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import KeyValuePairs, { type KeyValuePairsProps } from '@cloudscape-design/components/key-value-pairs';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import type { ReactNode } from 'react';
import { bytes, count, duration } from '../../cli/format.ts';
import type { DrillRecord } from '../../shared/workflows/drill/record.ts';
import { JobHeader } from '../job/name.tsx';
import { storeName } from '../job/store-bars.tsx';
import { utc } from '../parts/time.tsx';
import { href } from '../router.ts';
import './evidence.css';
import { VerdictSign } from './verdict.tsx';

type Store = keyof DrillRecord['stores'];
type Drilled = NonNullable<DrillRecord['stores'][Store]>;

/** The results of one drill, as a printable page. Times are in UTC, since it may be read anywhere. */
export function DrillEvidence({ drill }: { drill: DrillRecord }) {
  const stores = Object.entries(drill.stores) as [Store, Drilled][];
  return (
    <article className="evidence">
      <SpaceBetween size="l">
        <JobHeader job={{ ...drill, kind: 'drill', rehearsal: drill.kind === 'rehearsal' }}>
          <Button href={href(['job', drill.job_id])}>Job</Button>
          <Button iconName="file" onClick={() => window.print()}>
            Print
          </Button>
        </JobHeader>
        <Container>
          <KeyValuePairs columns={3} items={factsOf(drill)} />
        </Container>
        {drill.error && (
          <Section title="Error">
            <p className="anywhere">
              <strong>{drill.error.name}</strong>: <bdi>{drill.error.message}</bdi>
            </p>
          </Section>
        )}
        {stores.map(([name, store]) => (
          <Section key={name} title={storeName(name)}>
            <StoreEvidence store={store} rehearsal={drill.kind === 'rehearsal'} />
          </Section>
        ))}
        {drill.references.length > 0 && (
          <Section title="References in the restored copy">
            <Rows
              head={['Reference', 'Values', 'Looked up', 'Dangling']}
              rows={drill.references.map(({ reference, total, checked, dangling }) => [
                reference,
                count(total),
                count(checked),
                count(dangling),
              ])}
            />
          </Section>
        )}
        <Texts title="Differences between target and restored copy" texts={drill.differences} />
        <Texts title="Warnings" texts={drill.warnings.map(({ store, text }) => `${store}: ${text}`)} />
        <Texts title="Notes of the inspection" texts={drill.notes} />
      </SpaceBetween>
    </article>
  );
}

function factsOf(drill: DrillRecord): KeyValuePairsProps.Item[] {
  const { archive, destination, restore_seconds: seconds } = drill;
  return [
    { label: 'Verdict', value: <VerdictSign verdict={drill.verdict} /> },
    { label: 'Kind', value: drill.kind === 'rehearsal' ? 'Rehearsal: nothing was restored' : 'Drill' },
    {
      label: 'Backup',
      value:
        drill.backup_id === undefined ? (
          '–'
        ) : (
          <Link href={href(['backup', drill.backup_id])}>
            <span className="anywhere">{drill.backup_id}</span>
          </Link>
        ),
    },
    {
      label: 'Archive',
      value: archive ? `${bytes(archive.bytes)}, created ${utc(archive.created_at)}` : '–',
    },
    { label: 'Checksum', value: <code>{archive?.checksum ?? '–'}</code> },
    {
      label: 'Restored to',
      value:
        destination.place === 'none'
          ? `nowhere: a rehearsal${destination.reason === undefined ? '' : `. ${destination.reason}`}`
          : destination.place === 'names'
            ? `scratch names, servers of ${destination.target}`
            : destination.target,
    },
    { label: 'Requested by', value: <bdi>{drill.requested_by ?? 'unknown'}</bdi> },
    { label: 'Started', value: utc(drill.started_at) },
    { label: 'Ended', value: utc(drill.finished_at) },
    { label: 'Restored and verified in', value: seconds === undefined ? '–' : duration(seconds) },
    {
      label: 'Phases',
      value: drill.phases.map(({ phase, seconds: time }) => `${phase} ${duration(time)}`).join(', ') || '–',
    },
    {
      label: 'Limit of the load',
      value:
        Object.entries(drill.load_bytes_per_second)
          .map(([store, rate]) => `${store} ${bytes(rate)}/s`)
          .join(', ') || 'none',
    },
    {
      label: 'Versions',
      value: `ngbak ${drill.ngbak_version}${archive?.ngbak_version ? `, archive by ${archive.ngbak_version}` : ''}`,
    },
  ];
}

function StoreEvidence({ store, rehearsal }: { store: Drilled; rehearsal: boolean }) {
  const { loaded, read_back: readBack, parsed = {} } = store;
  const names = [...new Set([loaded, readBack, parsed].flatMap((tallies) => Object.keys(tallies)))];
  return (
    <SpaceBetween size="m">
      <p>
        {store.kind} {store.version}
        {store.saved_version === undefined ? '' : ` (backed up from ${store.saved_version})`}.{' '}
        {rehearsal ? (
          store.parsed ? (
            'Every record was parsed. Nothing was written.'
          ) : (
            'Not rehearsed.'
          )
        ) : (
          <>
            {store.verified ? 'Every record was read back and is equal to the archive.' : 'Not verified.'}{' '}
            {store.differences > 0 ? `${count(store.differences)} records differ. ` : ''}
            {store.removed ? 'Everything was removed.' : 'Something has not been removed.'}
          </>
        )}
      </p>
      {names.length > 0 && (
        <Rows
          head={['Records', 'In archive', ...(rehearsal ? ['Parsed'] : ['Loaded', 'Read back']), 'Digest']}
          rows={names.map((name) => [
            name,
            amount(store.in_archive[name]),
            ...(rehearsal
              ? [amount(parsed[name]?.count)]
              : [amount(loaded[name]?.count), amount(readBack[name]?.count)]),
            (rehearsal ? parsed : readBack)[name]?.digest ?? '–',
          ])}
        />
      )}
      {store.samples.length > 0 && (
        <Rows
          head={['Difference', 'Problem']}
          rows={store.samples.map(({ thing, problem }) => [thing, problem])}
        />
      )}
      {store.smoke.length > 0 && (
        <Rows
          head={['Smoke question', 'Target', 'Restored copy', 'Same']}
          rows={store.smoke.map(({ question, target, drill, same }) => [
            question,
            target,
            drill ?? '–',
            drill === undefined ? '–' : same ? 'yes' : 'no',
          ])}
        />
      )}
    </SpaceBetween>
  );
}

function amount(number: number | undefined): string {
  return number === undefined ? '–' : count(number);
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return <Container header={<Header variant="h2">{title}</Header>}>{children}</Container>;
}

function Texts({ title, texts }: { title: string; texts: readonly string[] }) {
  if (texts.length === 0) return null;
  return (
    <Section title={title}>
      <ul>
        {texts.map((text) => (
          <li key={text} className="anywhere">
            <bdi>{text}</bdi>
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** A plain table, which breaks between pages in print. */
function Rows({ head, rows }: { head: readonly string[]; rows: readonly (readonly string[])[] }) {
  return (
    <div className="rows">
      <table>
        <thead>
          <tr>
            {head.map((text) => (
              <th key={text} scope="col">
                {text}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells) => (
            <tr key={cells[0]}>
              {cells.map((text, index) => (
                <td key={head[index]}>
                  <bdi>{text}</bdi>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
