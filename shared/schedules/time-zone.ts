import { z } from 'zod';

/** A name in the IANA time zone database that this runtime knows. */
export const TimeZone = z
  .string()
  .min(1)
  .max(50)
  .refine(isTimeZone, 'must be a name of the IANA time zone database, such as "Europe/Berlin"');

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
