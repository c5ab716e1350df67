import './day-strip.css';
import { type DaySummary, dayText } from './days.ts';

/** A square for each day: filled with a good backup, crossed with failures only, otherwise empty. */
export function DayStrip({ days }: { days: readonly DaySummary[] }) {
  return (
    <ol className="day-strip" aria-label={`Backups of the last ${days.length} days`}>
      {days.map((day) => (
        <li key={day.date} className={kindOf(day)} title={dayText(day)}>
          <span>{dayText(day)}</span>
        </li>
      ))}
    </ol>
  );
}

function kindOf({ good, damaged, failed }: DaySummary): string {
  if (damaged + failed > 0) return good > 0 ? 'mixed' : 'bad';
  return good > 0 ? 'good' : 'none';
}
