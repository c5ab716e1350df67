import { CfnOutput, Stack, type StackProps } from 'aws-cdk-lib';
import type { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { valuesByStore } from '../shared/core/store-names.ts';
import { Alarms } from './alarms.ts';
import { ArchiveBucket } from './archive-bucket.ts';
import type { Bundles } from './bundle.ts';
import type { DeploymentConfig } from './config.ts';
import { Copies } from './copies.ts';
import { DailyRules } from './daily-rules.ts';
import { HttpApi } from './http-api.ts';
import { Janitor } from './janitor.ts';
import { MetricsDashboard } from './metrics-dashboard.ts';
import { Notifications } from './notifications.ts';
import { OperatorPolicy } from './operator-policy.ts';
import { Retention } from './retention.ts';
import { SavedQueries } from './saved-queries.ts';
import { Schedules } from './schedules.ts';
import { SigningKey } from './signing-key.ts';
import { makeStepHandlers } from './step-handlers.ts';
import { StoreSecrets } from './store-secrets.ts';
import { UploadTrigger } from './upload-trigger.ts';
import { Verification } from './verification.ts';
import { Watch } from './watch.ts';
import { BackupWorkflow } from './workflows/backup-workflow.ts';
import { RestoreWorkflow } from './workflows/restore-workflow.ts';

export interface NgbakStackProps extends StackProps {
  readonly deployment: DeploymentConfig;
  readonly bundles: Bundles;
}

/** All AWS resources of ngbak. */
export class NgbakStack extends Stack {
  constructor(scope: Construct, id: string, { deployment, bundles, ...props }: NgbakStackProps) {
    super(scope, id, {
      description: 'ngbak: backup and restore for GraphRAG systems',
      // The stack holds the backups of a production system: it must not be deleted by mistake. docs/deploy.md
      // describes its removal.
      terminationProtection: deployment.removal === 'retain',
      ...props,
    });
    const archive = new ArchiveBucket(this, 'Archive', deployment);
    const secrets = new StoreSecrets(this, 'Secrets', deployment);
    const signingKey = deployment.signatures && new SigningKey(this, 'Signing', deployment);
    const handlers = makeStepHandlers(this, { deployment, archive, secrets, bundles, signingKey });
    const settings = {
      handlers,
      timeoutDays: deployment.timeoutDays,
      logRetention: deployment.logRetentionDays as RetentionDays,
    };
    const backup = new BackupWorkflow(this, 'Backup', {
      ...settings,
      exportersPerStore: deployment.exportersPerStore,
    });
    const restore = new RestoreWorkflow(this, 'Restore', {
      ...settings,
      confirmationHours: deployment.confirmationHours,
    });
    const uploads = new UploadTrigger(this, 'Uploads', {
      archive,
      restore: restore.stateMachine,
    });
    const janitor = new Janitor(this, 'Janitor', { handler: handlers.janitor });
    if (handlers['copy-backup']) {
      new Copies(this, 'Copies', {
        ...settings,
        archive,
        handler: handlers['copy-backup'],
        janitor: handlers.janitor,
      });
    }
    if (handlers['verify-stored'])
      new Verification(this, 'Verification', { handler: handlers['verify-stored'] });
    new Retention(this, 'Retention', { archive, handler: handlers['apply-retention'] });
    const schedules =
      deployment.schedule.service === 'scheduler'
        ? new Schedules(this, 'Schedules', {
            backup: backup.stateMachine,
            restore: restore.stateMachine,
            deployment,
          })
        : undefined;
    if (schedules === undefined)
      new DailyRules(this, 'DailyRules', { backup: backup.stateMachine, deployment });
    const api = handlers.api && new HttpApi(this, 'Api', { deployment, archive, handler: handlers.api });
    if (handlers.api) schedules?.allowChanges(handlers.api);
    new Watch(this, 'Watch', { handler: handlers['watch-backups'], schedules });
    const { notify } = deployment;
    const notifications =
      notify && handlers.notify
        ? new Notifications(this, 'Notifications', {
            notify,
            deployment,
            archive,
            handler: handlers.notify,
            schedules,
          })
        : undefined;
    const operators = new OperatorPolicy(this, 'Operators', {
      archive,
      schedules,
      apiSecret: api?.secret,
      signingKey: signingKey?.key,
      copies: deployment.copies,
    });
    new SavedQueries(this, 'Queries', { handlers });
    const watched = {
      deployment,
      backup: backup.stateMachine,
      restore: restore.stateMachine,
      queues: { Ends: janitor.uncleaned, Uploads: uploads.unstarted },
    };
    if (deployment.alarms.enabled) {
      new Alarms(this, 'Alarms', { ...watched, handlers, api, notifications: notifications?.topic });
    }
    if (deployment.metricsDashboard) new MetricsDashboard(this, 'MetricsDashboard', watched);

    const output = (name: string, value: string | undefined, description: string) =>
      value === undefined ? undefined : new CfnOutput(this, name, { value, description });
    const target = Object.hasOwn(deployment.targets, 'default')
      ? 'default'
      : (Object.keys(deployment.targets)[0] ?? '');
    output('BucketName', archive.bucket.bucketName, 'Archives, catalog and jobs');
    output('BucketPrefix', archive.prefix || undefined, 'What all keys in the bucket begin with');
    output('BackupStateMachineArn', backup.stateMachine.stateMachineArn, 'Start it to back up');
    output('RestoreStateMachineArn', restore.stateMachine.stateMachineArn, 'Start it to restore a backup');
    output(
      'ScheduleGroupName',
      schedules?.groupName,
      'Group of EventBridge Scheduler that holds the schedules',
    );
    output('ScheduleRoleArn', schedules?.role.roleArn, 'What schedules start backups and drills with');
    output('ApiUrl', api?.url, 'Address of the HTTP API');
    output('ApiSecretArn', api?.secret.secretArn, 'Who may call the HTTP API');
    output(
      'OperatorPolicyArn',
      operators.policy.managedPolicyArn,
      'Policy for people and roles that use the CLI with AWS credentials',
    );
    output(
      'UploadBytesMax',
      String(deployment.uploadBytesMax),
      'Largest archive that may be uploaded, in bytes',
    );
    for (const [store] of valuesByStore(deployment.targets[target]?.stores ?? {})) {
      const name = store.replaceAll(/(?:^|_)[a-z0-9]/g, (start) => start.replace('_', '').toUpperCase());
      output(`${name}SecretArn`, secrets.arnOf(target, store), `Connection of "${target}/${store}"`);
    }
  }
}
