import picocolors from 'picocolors';

const { NO_COLOR, FORCE_COLOR, TERM } = process.env;

/**
 * Colours for a terminal and for nothing else: a pipe, a file or the log of a CI job gets plain text, which scripts can
 * read. `NO_COLOR` and `FORCE_COLOR` (see no-color.org and force-color.org) decide otherwise.
 */
export default picocolors.createColors(
  !NO_COLOR && ((FORCE_COLOR ?? '0') !== '0' || (process.stdout.isTTY === true && TERM !== 'dumb')),
);
