import fc from 'fast-check';
import { SEED } from './seed.ts';

// A failure prints the seed and the path to its counterexample as well.
fc.configureGlobal({ seed: SEED });

export { fc };
