import { InvalidInputError } from '../../core/errors.ts';
import { HELP } from '../../core/help.ts';

/**
 * Maximum time for rewriting an archive without an index, in milliseconds. Rewriting can't be divided into legs, and no
 * function runs for more than 15 minutes (Lambda quotas).
 */
export const REWRITE_MS = 13 * 60_000;
/** Fraction of that time after which the speed is judged. */
const MEASURED_AFTER = 1 / 20;
/**
 * Factor by which the estimate must exceed the limit: the speed rises in parts where less data has to be recompressed.
 */
const TOLERANCE = 1.25;

/**
 * Monitors the progress of the rewriting, and ends it as soon as the time clearly does not suffice, instead of failing
 * after a quarter of an hour, and again with every retry. Throws InvalidInputError.
 *
 * @param now  milliseconds of a clock
 */
export function refuseIfTooLong(
  limitMs: number,
  now: () => number = Date.now,
): (bytesDone: number, bytesTotal: number) => void {
  const began = now();
  return (bytesDone, bytesTotal) => {
    const elapsed = now() - began;
    if (bytesDone === 0 || elapsed < limitMs * MEASURED_AFTER) return;
    const estimate = elapsed * (bytesTotal / bytesDone);
    if (elapsed < limitMs && estimate < limitMs * TOLERANCE) return;
    const minutes = (milliseconds: number) => Math.ceil(milliseconds / 60_000);
    throw new InvalidInputError(
      `The archive was packed by another tool and has to be rewritten before it can be restored, which would take about ${minutes(estimate)} minutes; a function has ${minutes(limitMs)}.`,
      {
        remedy:
          'Nothing was changed. Run `ngbak archive repack OLD NEW` on a computer, and upload the resulting archive.',
        help: HELP.repackedTooLarge,
      },
    );
  };
}
