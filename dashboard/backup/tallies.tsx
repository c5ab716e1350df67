import ExpandableSection from '@cloudscape-design/components/expandable-section';
import Table from '@cloudscape-design/components/table';
import { count } from '../../cli/format.ts';
import type { CatalogRecord } from '../../shared/catalog/record.ts';
import { Copyable } from '../parts/command.tsx';
import { Empty } from '../parts/states.tsx';

/** Displayed digits of a digest; all of them are copied. */
const DIGEST_SHOWN = 12;

/** The counts of each store, with the digest that a restore is verified against. */
export function Tallies({ tallies }: Pick<CatalogRecord, 'tallies'>) {
  const rows = Object.entries(tallies).flatMap(([store, kinds]) =>
    Object.entries(kinds).map(([kind, tally]) => ({ store, kind, ...tally })),
  );
  return (
    <ExpandableSection
      variant="container"
      headerText="Counts and digests"
      headerDescription="A restore is verified against these: afterwards, the target must have the same counts and digests."
    >
      <Table
        variant="embedded"
        items={rows}
        trackBy={({ store, kind }) => `${store} ${kind}`}
        ariaLabels={{ tableLabel: 'Counts and digests' }}
        columnDefinitions={[
          { id: 'store', header: 'Store', cell: ({ store }) => store },
          { id: 'kind', header: 'Item', isRowHeader: true, cell: ({ kind }) => <bdi>{kind}</bdi> },
          { id: 'count', header: 'Count', cell: (row) => count(row.count) },
          {
            id: 'digest',
            header: 'Digest',
            minWidth: 150,
            cell: ({ store, kind, digest }) => (
              <Copyable
                text={digest}
                shown={`${digest.slice(0, DIGEST_SHOWN)}…`}
                what={`digest of ${store} ${kind}`}
              />
            ),
          },
        ]}
        empty={<Empty title="No counts" />}
      />
    </ExpandableSection>
  );
}
