const vm = require('node:vm');
const { TestEnvironment } = require('jest-environment-node');

/**
 * Jest's environment for Node, whose global object is an ordinary one. Jest makes a `Proxy` the global object of each test
 * file, so that every use of `Buffer`, `Error` or `JSON`, in the tests and in what they test, calls into it: that took a
 * third of the processor time of tests. Each file still has a context, and so global objects, of its own.
 */
class Environment extends TestEnvironment {
  constructor(...args) {
    const { createContext } = vm;
    // The constructor has no option for it.
    vm.createContext = () => createContext(vm.constants.DONT_CONTEXTIFY);
    try {
      super(...args);
    } finally {
      vm.createContext = createContext;
    }
  }

  /**
   * Called by Jest for each event. If a `beforeAll` fails, Jest fails every test that would have followed, each with the
   * same error. Here one test fails with it; the others are skipped, with a reason (test/skipped.ts).
   */
  handleTestEvent(event, { testNamePattern }) {
    if (event.name !== 'hook_failure' || event.hook.type !== 'beforeAll') return;
    const selected = testsOf(event.describeBlock).filter((test) => isSelected(test, testNamePattern));
    for (const test of selected.slice(1)) {
      test.mode = 'skip';
      test.errors = [];
      test.name += ' [skipped: the set-up that it shares with a failed test did not succeed]';
    }
  }
}

/** Of tests that share a set-up, whether this one was selected: neither left out by its file nor by a name pattern. */
function isSelected(test, pattern) {
  if (test.mode === 'skip' || test.mode === 'todo') return false;
  const names = [];
  for (let part = test; part.parent; part = part.parent) names.unshift(part.name);
  return pattern === undefined || pattern === null || pattern.test(names.join(' '));
}

function testsOf(block) {
  return block.children.flatMap((child) => (child.type === 'test' ? [child] : testsOf(child)));
}

module.exports = Environment;
