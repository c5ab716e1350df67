/**
 * To import before the CDK: when it loads this module, it decides to keep fingerprints of assets in HOME, and has no option
 * for another folder. Those of tests are left in the temporary directory, which the run removes. Jest's `process.env` is a
 * copy, so `homedir` does not follow it.
 */
import { createRequire } from 'node:module';
import os from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../../local/folders.ts';

const { homedir } = os;
os.homedir = os.tmpdir;
createRequire(import.meta.url)(join(ROOT, 'node_modules/aws-cdk-lib/core/lib/fs/fingerprint-disk-cache.js'));
os.homedir = homedir;
