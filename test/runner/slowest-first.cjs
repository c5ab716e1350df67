/** Starts the slowest test files first, so that no worker begins one when the others have finished. */
const { default: Sequencer } = require('@jest/test-sequencer');
const { relative, resolve } = require('node:path');
const seconds = require('./slow-files.json');

const root = resolve(__dirname, '../..');

module.exports = class SlowestFirst extends Sequencer {
  sort(tests) {
    const known = (test) => seconds[relative(root, test.path)] ?? 0;
    return [...tests].sort((a, b) => known(b) - known(a) || a.path.localeCompare(b.path));
  }
};
