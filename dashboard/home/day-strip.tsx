import './day-strip.css';
import { type DaySummary, dayText } from './days.ts';

/** A square for each day: a filled one has a good backup, a crossed one only trouble, an empty one nothing. */
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
