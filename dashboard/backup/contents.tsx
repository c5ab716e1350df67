import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import Pagination from '@cloudscape-design/components/pagination';
import Table from '@cloudscape-design/components/table';
import TextFilter from '@cloudscape-design/components/text-filter';
import { useState } from 'react';
import { bytes, count } from '../../cli/format.ts';
import { useNotices } from '../notices.tsx';
import { blocked } from '../parts/blocked.ts';
import { Command, Copyable, quoted } from '../parts/command.tsx';
import { Empty, Problem } from '../parts/states.tsx';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';
import { downloadEntry, UNPACK_BYTES_MAX } from './download.ts';

const PAGE = 20;
/** Displayed digits of a SHA-256; all of them are copied. */
const DIGEST_SHOWN = 12;

/** The entries of a backup's archive, read from its index. */
export function Contents({ backupId }: { backupId: string }) {
  const { api, refusal } = useSession();
  const { fail } = useNotices();
  const [prefix, setPrefix] = useState('');
  const [page, setPage] = useState(1);
  const [downloading, setDownloading] = useState<string>();
  const query = { prefix, limit: PAGE, offset: (page - 1) * PAGE };
  const { data, error, reload } = useData(JSON.stringify([backupId, query]), (signal) =>
    api.listContents(backupId, query, signal),
  );
  const refused = refusal('downloadBackup');
  const download = async (name: string) => {
    setDownloading(name);
    try {
      await downloadEntry(api, backupId, name);
    } catch (problem) {
      fail(`${name} could not be downloaded`, problem);
    } finally {
      setDownloading(undefined);
    }
  };
  if (error && !data) return <Problem error={error} retry={reload} />;
  return (
    <Table
      header={
        <Header
          variant="h2"
          description="Each entry is verified against its SHA-256 during the download."
          {...(data ? { counter: `(${count(data.total)})` } : {})}
        >
          Contents
        </Header>
      }
      items={data?.entries ?? []}
      trackBy="name"
      loading={!data}
      loadingText="Reading the archive’s index"
      filter={
        <TextFilter
          filteringText={prefix}
          filteringPlaceholder="Find entries by prefix"
          filteringAriaLabel="Find entries by prefix"
          onDelayedChange={({ detail }) => {
            setPrefix(detail.filteringText);
            setPage(1);
          }}
          onChange={({ detail }) => {
            if (detail.filteringText === '') setPrefix('');
          }}
        />
      }
      pagination={
        <Pagination
          currentPageIndex={page}
          pagesCount={page + (data?.next_offset === undefined ? 0 : 1)}
          openEnd={data?.next_offset !== undefined}
          onChange={({ detail }) => setPage(detail.currentPageIndex)}
        />
      }
      columnDefinitions={[
        {
          id: 'name',
          header: 'Name',
          isRowHeader: true,
          cell: ({ name }) => <code>{name}</code>,
          minWidth: 220,
        },
        { id: 'size', header: 'Size', cell: ({ size }) => bytes(size) },
        { id: 'packed', header: 'Compressed', cell: ({ length }) => bytes(length) },
        {
          id: 'sha256',
          header: 'SHA-256',
          minWidth: 150,
          cell: ({ sha256, name }) => (
            <Copyable text={sha256} shown={`${sha256.slice(0, DIGEST_SHOWN)}…`} what={`SHA-256 of ${name}`} />
          ),
        },
        {
          id: 'download',
          header: 'Download',
          cell: ({ name, size }) => {
            const why =
              refused ??
              (size > UNPACK_BYTES_MAX
                ? `Entries of more than ${bytes(UNPACK_BYTES_MAX)} can only be downloaded with the CLI.`
                : undefined);
            return (
              <Button
                variant="icon"
                iconName="download"
                ariaLabel={`Download ${name}`}
                loading={downloading === name}
                onClick={() => void download(name)}
                {...blocked(why)}
              />
            );
          },
        },
      ]}
      empty={<Empty title={prefix === '' ? 'No entries' : 'No matching entries'} />}
      footer={
        <Command line={`ngbak contents ${backupId}${prefix === '' ? '' : ` --prefix ${quoted(prefix)}`}`} />
      }
    />
  );
}
