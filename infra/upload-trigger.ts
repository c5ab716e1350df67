import { Duration, Validations } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { SfnStateMachine } from 'aws-cdk-lib/aws-events-targets';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import type { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';
import { Construct } from 'constructs';
import { UPLOADS } from '../shared/aws/keys.ts';
import type { ArchiveBucket } from './archive-bucket.ts';

/** How long an upload that could not start a restore is kept for an operator, in days. */
const UNSTARTED_DAYS = 14;

export interface UploadTriggerProps {
  readonly archive: ArchiveBucket;
  readonly restore: IStateMachine;
}

/** Starts a restore for every object created under `uploads/`: by PUT, POST, copy or multipart upload. */
export class UploadTrigger extends Construct {
  /** Uploads whose restore EventBridge failed to start after all retries. Normally empty. */
  readonly unstarted: Queue;

  constructor(scope: Construct, id: string, { archive, restore }: UploadTriggerProps) {
    super(scope, id);
    this.unstarted = new Queue(this, 'Unstarted', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(UNSTARTED_DAYS),
    });
    Validations.of(this.unstarted).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'It is a dead-letter queue.',
    });
    new Rule(this, 'Uploaded', {
      description: 'ngbak: an archive was uploaded',
      eventPattern: {
        source: ['aws.s3'],
        detailType: ['Object Created'],
        detail: {
          bucket: { name: [archive.bucket.bucketName] },
          // Creating a "folder" in a console creates an empty object, which is not an upload.
          object: { key: [{ prefix: archive.prefix + UPLOADS }], size: [{ numeric: ['>', 0] }] },
        },
      },
      targets: [
        new SfnStateMachine(restore, {
          deadLetterQueue: this.unstarted,
          retryAttempts: 185,
          maxEventAge: Duration.hours(24),
        }),
      ],
    });
  }
}
