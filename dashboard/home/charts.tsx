import ColumnLayout from '@cloudscape-design/components/column-layout';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import LineChart from '@cloudscape-design/components/line-chart';
import { bytes, duration, localTime } from '../../cli/format.ts';
import type { Overview } from '../../shared/operations/overview.ts';
import { Empty } from '../parts/states.tsx';

/** Points of one line; more would overlap. */
const POINTS_MAX = 200;
const HEIGHT_PX = 180;

type Point = Overview['history'][number];

/** Size and duration of full backups over time, a line for each target. */
export default function Charts({ history }: { history: Overview['history'] }) {
  const full = history.filter(({ type }) => type === 'full');
  return (
    <ColumnLayout columns={2}>
      <Chart title="Archive size" points={full} value={(point) => point.bytes} format={bytes} />
      <Chart title="Duration" points={full} value={(point) => point.duration_seconds} format={duration} />
    </ColumnLayout>
  );
}

function Chart({
  title,
  points,
  value,
  format,
}: {
  title: string;
  points: readonly Point[];
  value: (point: Point) => number;
  format: (value: number) => string;
}) {
  const series = [...Map.groupBy(points, ({ target }) => target)].map(([target, own]) => ({
    title: target,
    type: 'line' as const,
    data: own
      .slice(0, POINTS_MAX)
      .map((point) => ({ x: new Date(point.created_at), y: value(point) }))
      .reverse(),
    valueFormatter: format,
  }));
  const times = points.map(({ created_at }) => Date.parse(created_at));
  return (
    <Container header={<Header variant="h2">{title}</Header>}>
      <LineChart
        series={series}
        xScaleType="time"
        {...(points.length > 1
          ? { xDomain: [new Date(Math.min(...times)), new Date(Math.max(...times))] }
          : {})}
        yDomain={[0, Math.max(1, ...points.map(value)) * 1.1]}
        height={HEIGHT_PX}
        hideFilter
        hideLegend={series.length < 2}
        ariaLabel={`${title} of full backups over time`}
        i18nStrings={{
          xTickFormatter: (time) => localTime(new Date(time).toISOString()).slice(5, 16).replace(' ', '\n'),
          yTickFormatter: format,
          detailPopoverDismissAriaLabel: 'Close',
        }}
        empty={<Empty title="No full backups in the last 90 days" />}
      />
    </Container>
  );
}
