import Box from '@cloudscape-design/components/box';
import ExpandableSection from '@cloudscape-design/components/expandable-section';
import type { JobView } from '../../shared/operations/show-job.ts';
import { Time } from '../parts/time.tsx';

/** The steps of the workflow, newest first. */
export function JobLog({ job }: { job: JobView }) {
  return (
    <ExpandableSection
      variant="container"
      headerText="Log"
      headerCounter={`(${job.log.length})`}
      defaultExpanded
    >
      {job.log.length === 0 ? (
        <Box color="text-status-inactive">No log entries yet.</Box>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
        <section aria-label="Log" className="log" tabIndex={0}>
          <ol reversed>
            {job.log.toReversed().map(({ at, text }, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: lines have no identity, and are only added at the top
              <li key={job.log.length - i}>
                <Time value={at} /> <bdi>{text}</bdi>
              </li>
            ))}
          </ol>
        </section>
      )}
    </ExpandableSection>
  );
}
