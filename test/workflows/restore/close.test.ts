import { expect, test } from '@jest/globals';
import { inspectionKey, restoreLegKey, restorePlanKey } from '../../../shared/aws/keys.ts';
import { closeRestore } from '../../../shared/workflows/restore/close.ts';
import { freshEnvironment } from '../../support/aws.ts';

const AT = '2026-01-02T03:04:05.000Z';

test('the result of a restore has the warnings of all of its steps, those that repeat as one', async () => {
  const environment = await freshEnvironment();
  const { bucket } = environment;
  await bucket.writeRecord(restorePlanKey('job'), {
    ...{ job_id: 'job', target: 'default', execution_arn: 'arn', created_at: AT, confirmed: true },
    ...{ source: { bucket: 'b', key: 'k' }, options: {}, stores: ['graph', 'kv'] },
  });
  await bucket.writeRecord(inspectionKey('job'), {
    ...{ job_id: 'job', target: 'default', inspected_at: AT, stores: [], warnings: [], problems: [] },
    archive: {
      ...{
        backup_id: 'b',
        created_at: AT,
        bytes: 1,
        entries: 1,
        checksum: 'c',
        normalized: false,
        lacks: [],
      },
    },
  });
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
