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
}

module.exports = Environment;
