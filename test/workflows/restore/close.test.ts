import { expect, test } from '@jest/globals';
import { restoreLegKey } from '../../../shared/aws/keys.ts';
import { closeRestore } from '../../../shared/workflows/restore/close.ts';
import { freshEnvironment } from '../../support/aws.ts';
import { begun } from '../../support/restore-records.ts';

test('the result of a restore has the warnings of all of its steps, with duplicates merged', async () => {
  const environment = await freshEnvironment();
  const { bucket } = environment;
  await begun(environment, { stores: ['graph', 'kv'] });
  const leg = (warnings: object[] = []) => ({ tallies: {}, differences: 0, samples: [], warnings });
  const evicted = { code: 'keys-evicted', text: 'Keys were evicted.', count: 2, samples: ['a', 'b'] };
  const left = { code: 'graph-schema-left-out', text: 'Constraints are missing.', count: 1, samples: ['c'] };
  await bucket.writeRecord(restoreLegKey('job', 'kv', 'load', 0), leg([evicted]));
  await bucket.writeRecord(restoreLegKey('job', 'kv', 'load', 1), leg([{ ...evicted, samples: ['d'] }]));
  await bucket.writeRecord(restoreLegKey('job', 'kv', 'verify', 0), leg());
  await bucket.writeRecord(restoreLegKey('job', 'graph', 'verify', 0), leg([left]));
  await bucket.writeRecord(
    restoreLegKey('job', 'graph', 'finish', 0),
    leg([{ code: 'other', text: 'Left.' }]),
  );
  expect((await closeRestore(environment, 'job')).warnings).toEqual([
    { store: 'graph', ...left },
    { store: 'graph', code: 'other', text: 'Left.' },
    { store: 'kv', ...evicted, count: 4, samples: ['a', 'b', 'd'] },
  ]);
});
