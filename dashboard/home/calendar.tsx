import './calendar.css';
import Box from '@cloudscape-design/components/box';
import Container from '@cloudscape-design/components/container';
import FormField from '@cloudscape-design/components/form-field';
import Header from '@cloudscape-design/components/header';
import Link from '@cloudscape-design/components/link';
import SegmentedControl from '@cloudscape-design/components/segmented-control';
import Select from '@cloudscape-design/components/select';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { type KeyboardEvent, useRef, useState } from 'react';
import type { Calendar as CalendarData, CalendarDay } from '../../shared/operations/calendar.ts';
import { Show } from '../parts/states.tsx';
import { href } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';
import {
  DAY_STATES,
  type DayState,
  DRILL_STATES,
  dayAfter,
  dayText,
  drillOf,
  type Month,
  monthsOf,
  movedBy,
  stateOf,
} from './calendar-days.ts';

const EVERY_MS = 60_000;
const SPANS = { month: 31, quarter: 92, year: 366 } as const;
type Span = keyof typeof SPANS;
const SPAN_TEXTS: Readonly<Record<Span, string>> = { month: 'Month', quarter: '3 months', year: 'Year' };
const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];

/** The backups and drills of a target, a sign for each day. */
export function Calendar({ targets }: { targets: readonly string[] }) {
  const { api } = useSession();
  const [chosen, setChosen] = useState(targets[0] ?? '');
  const [span, setSpan] = useState<Span>('month');
  const target = targets.includes(chosen) ? chosen : (targets[0] ?? '');
  const request = {
    target,
    days: SPANS[span],
    time_zone: new Intl.DateTimeFormat().resolvedOptions().timeZone,
  };
  const loaded = useData(
    JSON.stringify(['calendar', request]),
    (signal) => api.calendar(request, signal),
    EVERY_MS,
  );
  const options = targets.map((value) => ({ value, label: value }));
  return (
    <Container header={<Header variant="h2">Calendar</Header>}>
      <SpaceBetween size="m">
        <SpaceBetween direction="horizontal" size="m" alignItems="end">
          {targets.length > 1 && (
            <FormField label="Target">
              <Select
                selectedOption={options.find(({ value }) => value === target) ?? null}
                options={options}
                onChange={({ detail }) => setChosen(detail.selectedOption.value ?? '')}
              />
            </FormField>
          )}
          <SegmentedControl
            label="Period"
            selectedId={span}
            options={Object.entries(SPAN_TEXTS).map(([id, text]) => ({ id, text }))}
            onChange={({ detail }) => setSpan(detail.selectedId as Span)}
          />
        </SpaceBetween>
        <Show loaded={loaded} what="the calendar">
          {(data) => <Months key={`${target} ${span}`} data={data} large={span === 'month'} />}
        </Show>
      </SpaceBetween>
    </Container>
  );
}

function Months({ data, large }: { data: CalendarData; large: boolean }) {
  const days = new Map(data.days.map((day) => [day.date, day]));
  const [focus, setFocus] = useState(data.to);
  const [open, setOpen] = useState<string>();
  const root = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent, date: string) => {
    const to = movedBy(event.key, date, data);
    if (to === undefined) return;
    event.preventDefault();
    setFocus(to);
    root.current?.querySelector<HTMLButtonElement>(`button[data-date="${to}"]`)?.focus();
  };
  const at = focus < data.from || focus > data.to ? data.to : focus;
  return (
    <SpaceBetween size="s">
      <div className={`calendar-months${large ? ' calendar-large' : ''}`} ref={root}>
        {monthsOf(data).map((month) => (
          <MonthTable
            key={month.month}
            month={month}
            cell={(date) => (
              <Day
                date={date}
                day={days.get(date)}
                focusable={date === at}
                pressed={date === open}
                onOpen={() => {
                  setFocus(date);
                  setOpen(date === open ? undefined : date);
                }}
                onKeyDown={(event) => move(event, date)}
              />
            )}
          />
        ))}
      </div>
      <div aria-live="polite">
        {open !== undefined && <DayDetails target={data.target} date={open} day={days.get(open)} />}
      </div>
      <Legend />
      <Box color="text-body-secondary" fontSize="body-s">
        Failures are known since {data.failures_since}
        {data.missed_since !== undefined && `, missed runs since ${data.missed_since}`}. Deleted backups are
        not shown.
      </Box>
    </SpaceBetween>
  );
}

function MonthTable({
  month: { month, weeks },
  cell,
}: {
  month: Month;
  cell: (date: string) => React.ReactNode;
}) {
  const name = new Date(`${month}-15T12:00:00Z`).toLocaleDateString('en-GB', {
    month: 'long',
    year: 'numeric',
    timeZone: 'UTC',
  });
  return (
    <table className="calendar-month">
      <caption>{name}</caption>
      <thead>
        <tr>
          {WEEKDAYS.map((day) => (
            <th key={day} scope="col" abbr={day}>
              {day.slice(0, 2)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {weeks.map((week, number) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: weeks have no other name, and their order does not change
          <tr key={number}>
            {week.map((date, weekday) => (
              <td key={date ?? WEEKDAYS[weekday]}>{date !== undefined && cell(date)}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface DayProps {
  readonly date: string;
  readonly day: CalendarDay | undefined;
  /** Only one day is a tab stop; the arrow keys reach the others. */
  readonly focusable: boolean;
  readonly pressed: boolean;
  readonly onOpen: () => void;
  readonly onKeyDown: (event: KeyboardEvent) => void;
}

function Day({ date, day, focusable, pressed, onOpen, onKeyDown }: DayProps) {
  const text = dayText(date, day);
  return (
    <button
      type="button"
      className={`calendar-day calendar-${stateOf(day)}`}
      data-date={date}
      tabIndex={focusable ? 0 : -1}
      aria-pressed={pressed}
      aria-label={text}
      title={text}
      onClick={onOpen}
      onKeyDown={onKeyDown}
    >
      <Signs state={stateOf(day)} drill={drillOf(day)} number={Number(date.slice(8))} />
    </button>
  );
}

/** The signs of a day, which differ without their colours. */
function Signs({
  state,
  drill,
  number,
}: {
  state: DayState;
  drill: keyof typeof DRILL_STATES | undefined;
  number?: number;
}) {
  const signs = `${DAY_STATES[state].sign}${drill === undefined ? '' : DRILL_STATES[drill].sign}`;
  return (
    <>
      {number !== undefined && <span aria-hidden>{number}</span>}
      {signs !== '' && <b aria-hidden>{signs}</b>}
    </>
  );
}

/** What happened on one day, with links to it. */
function DayDetails({ target, date, day }: { target: string; date: string; day: CalendarDay | undefined }) {
  const backups = day ? day.good + day.with_warnings + day.damaged : 0;
  const drills = day ? day.drills_passed + day.drills_failed : 0;
  return (
    <SpaceBetween direction="horizontal" size="m">
      <Box>{dayText(date, day)}</Box>
      {backups > 0 && (
        <Link href={href(['backups'], { target, since: date, until: dayAfter(date) })}>
          Backups of this day
        </Link>
      )}
      {day && day.failed > 0 && (
        <Link href={href(['jobs'], { kind: 'backup', state: 'failed' })}>Failed backups</Link>
      )}
      {day && day.missed > 0 && <Link href={href(['schedules'])}>Schedules</Link>}
      {drills > 0 && <Link href={href(['drills'])}>Drills</Link>}
    </SpaceBetween>
  );
}

function Legend() {
  return (
    <ul className="calendar-legend" aria-label="Signs">
      {Object.entries(DAY_STATES).map(([state, { text }]) => (
        <li key={state}>
          <span className={`calendar-day calendar-${state}`}>
            <Signs state={state as DayState} drill={undefined} />
          </span>
          {text}
        </li>
      ))}
      {Object.entries(DRILL_STATES).map(([drill, { sign, text }]) => (
        <li key={drill}>
          <span className="calendar-day" aria-hidden>
            {sign}
          </span>
          {text}
        </li>
      ))}
    </ul>
  );
}
