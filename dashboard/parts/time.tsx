import { useEffect, useState } from 'react';
import { ago, localTime } from '../../cli/format.ts';

/** A time in the user's zone, with UTC in its tooltip. */
export function Time({ value }: { value: string }) {
  return (
    <time dateTime={value} title={utc(value)}>
      {localTime(value)}
    </time>
  );
}

/** The elapsed time, kept up to date; the time itself in its tooltip. */
export function Ago({ value }: { value: string }) {
  const now = useNow(30_000);
  return (
    <time dateTime={value} title={`${localTime(value)} (${utc(value)})`}>
      {ago(value, now)}
    </time>
  );
}

/** The current time, in milliseconds since 1970, updated periodically. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** `2026-01-02 03:04:05 UTC`. */
export function utc(value: string): string {
  return `${new Date(value).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
