/** Jest's `--filter`: only the files that NGBAK_TEST_FILES lists, by their path in the checkout, one per line. */
const { readFileSync } = require('node:fs');
const { relative, resolve } = require('node:path');

const root = resolve(__dirname, '../..');

module.exports = (paths) => {
  const list = process.env.NGBAK_TEST_FILES;
  if (!list) return { filtered: paths };
  const wanted = new Set(readFileSync(list, 'utf8').split('\n'));
  return { filtered: paths.filter((path) => wanted.has(relative(root, path))) };
};
