import { Metrics } from '@aws-lambda-powertools/metrics';
import { z } from 'zod';
import { SigningKey } from '../shared/aws/signing-key.ts';
import { Id } from '../shared/core/ids.ts';
import { measuresOf } from '../shared/workflows/backup/measures.ts';
import { recordBackup } from '../shared/workflows/backup/record.ts';
import { step } from './step.ts';

const metrics = new Metrics();
/** The key of the deployment: its ARN is set if the deployment signs. */
const arn = process.env.NGBAK_SIGNING_KEY_ARN;
const signer = arn ? new SigningKey(arn) : undefined;

/** Signs the archive, writes the catalog record, which adds the backup to the catalog, and sends the metrics to CloudWatch. */
export const handler = step(z.object({ job_id: Id }), async (environment, { job_id }) => {
  const result = await recordBackup(environment, job_id, signer);
  const measures = measuresOf(result);
  if (measures) {
    metrics.addDimensions({ ...measures.dimensions });
    for (const { name, unit, value } of measures.values) metrics.addMetric(name, unit, value);
    metrics.publishStoredMetrics();
  }
  return result;
});
