import { SecretValue, Stack, Validations } from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import { HttpApi as Gateway, HttpStage, LogGroupLogDestination } from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { ArchiveBucket } from './archive-bucket.ts';
import type { DeploymentConfig } from './config.ts';
import { allowDeletions, setStateMachineVariables } from './operator-access.ts';
import { removalPolicyOf } from './removal.ts';
import { deploymentSuffix, type StepHandler } from './step-handler.ts';
import { existingSecret } from './store-secrets.ts';
import { acceptWildcard } from './wildcards.ts';
import { executionArn, stateMachineArn } from './workflows/state-machine.ts';

/**
 * Limit for all callers together, in requests per second, and the size of a burst. Sized for operators and
 * dashboards.
 */
const REQUESTS_PER_SECOND = 20;
const REQUESTS_AT_ONCE = 40;

/** Fields of the access log. HTTP APIs do not support `$context.resourcePath`, which CDK's own format uses. */
const ACCESS_LOG_FORMAT = AccessLogFormat.custom(
  JSON.stringify({
    time: '$context.requestTime',
    request_id: '$context.requestId',
    from: '$context.identity.sourceIp',
    method: '$context.httpMethod',
    path: '$context.path',
    status: '$context.status',
    bytes: '$context.responseLength',
    milliseconds: '$context.responseLatency',
    error: '$context.integrationErrorMessage',
  }),
);

export interface HttpApiProps {
  readonly deployment: Pick<DeploymentConfig, 'allowedOrigins' | 'api' | 'logRetentionDays' | 'removal'>;
  readonly archive: ArchiveBucket;
  readonly handler: StepHandler;
}

/**
 * The HTTP API: one function behind an API Gateway, and the secret with the hashes of its keys. It starts without
 * keys, so that no calls are possible before an administrator adds one.
 */
export class HttpApi extends Construct {
  readonly url: string;
  readonly secret: Secret | ISecret;
  /** Requests that were answered with 4xx: without a valid key, or over a limit of the API. */
  readonly rejections: IMetric;

  constructor(scope: Construct, id: string, { deployment, archive, handler }: HttpApiProps) {
    super(scope, id);
    const { secret: existing } = deployment.api;
    const secretName = existing ?? `${Stack.of(this).stackName}/api`;
    this.secret =
      existing === undefined
        ? this.#makeAccessList(secretName, deployment)
        : existingSecret(this, 'Keys', existing);
    this.secret.grantRead(handler.function);
    handler.function.addEnvironment('NGBAK_API_SECRET', secretName);
    handler.function.addEnvironment('NGBAK_ALLOWED_ORIGINS', deployment.allowedOrigins.join(' '));
    setStateMachineVariables(handler);
    allowDeletions(handler, archive);
    for (const workflow of ['Backup', 'Restore'] as const) {
      const machine = stateMachineArn(this, workflow);
      const executions = executionArn(this, workflow);
      handler.allow(['states:StartExecution', 'states:DescribeStateMachine'], [machine]);
      handler.allow(
        ['states:DescribeExecution', 'states:StopExecution', 'states:GetExecutionHistory'],
        [executions],
      );
      acceptWildcard(handler, executions, 'All executions of our own workflow.');
    }
    // Approving or rejecting a pending restore requires these.
    handler.allow(['states:SendTaskSuccess', 'states:SendTaskFailure'], [stateMachineArn(this, 'Restore')]);

    const gateway = new Gateway(this, 'Gateway', {
      apiName: Stack.of(this).stackName,
      description: 'ngbak: backups, restores and jobs',
      createDefaultStage: false,
      defaultIntegration: new HttpLambdaIntegration('Function', handler.function),
    });
    Validations.of(gateway).acknowledge({
      id: 'AwsSolutions-APIG4',
      reason:
        'The function checks keys and tokens itself, in constant time and by role; an authorizer in front of it would be a second function with the same secret.',
    });
    // The dashboard is served from this origin; S3 has a different one.
    archive.allowPages([gateway.apiEndpoint]);
    const log = new LogGroup(this, 'Log', {
      // Names with this prefix share one resource policy; a region has at most ten. The suffix keeps the log of a
      // deleted stack.
      logGroupName: `/aws/vendedlogs/apis/${Stack.of(this).stackName}-${deploymentSuffix(this)}`,
      retention: deployment.logRetentionDays as RetentionDays,
      removalPolicy: removalPolicyOf(deployment),
    });
    const stage = new HttpStage(this, 'Stage', {
      httpApi: gateway,
      stageName: '$default',
      autoDeploy: true,
      throttle: { rateLimit: REQUESTS_PER_SECOND, burstLimit: REQUESTS_AT_ONCE },
      accessLogSettings: { destination: new LogGroupLogDestination(log), format: ACCESS_LOG_FORMAT },
    });
    this.url = stage.url;
    this.rejections = stage.metricClientError();
  }

  #makeAccessList(secretName: string, deployment: HttpApiProps['deployment']): Secret {
    const secret = new Secret(this, 'Keys', {
      secretName,
      description: 'Callers of the HTTP API of ngbak: hashes of keys, and the issuer of tokens',
      // Must not change: CloudFormation would overwrite the keys that were added.
      secretStringValue: SecretValue.unsafePlainText('{"keys":[]}'),
      removalPolicy: removalPolicyOf(deployment),
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'It holds hashes of keys that people hold; each key may have an end, and two may overlap.',
    });
    return secret;
  }
}
