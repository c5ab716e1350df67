import picocolors from 'picocolors';

const { NO_COLOR, FORCE_COLOR, TERM } = process.env;

/**
 * Colours for terminals only: a pipe, a file or the log of a CI job gets plain text, which scripts can parse.
 * `NO_COLOR` and `FORCE_COLOR` (see no-color.org and force-color.org) override this.
 */
export default picocolors.createColors(
  !NO_COLOR && ((FORCE_COLOR ?? '0') !== '0' || (process.stdout.isTTY === true && TERM !== 'dumb')),
);
