import { ArnFormat, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import {
  DefinitionBody,
  type IChainable,
  LogLevel,
  QueryLanguage,
  StateMachine,
  StateMachineType,
} from 'aws-cdk-lib/aws-stepfunctions';
import type { Construct } from 'constructs';
import type { StepHandler } from '../step-handler.ts';
import { acceptWildcard } from '../wildcards.ts';

/** The workflows of a deployment. Only deployments with copies have `Copy`. */
export type Workflow = 'Backup' | 'Restore' | 'Copy';

/** Configuration of every workflow. */
export interface WorkflowSettings {
  /** Days after which a running execution is stopped. */
  readonly timeoutDays: number;
  readonly logRetention: RetentionDays;
}

/** Name of a workflow's state machine. Fixed, so that functions of the workflow can be granted permissions on it. */
export function stateMachineName(scope: Construct, workflow: Workflow): string {
  return `${Stack.of(scope).stackName}-${workflow}`;
}

/**
 * Name of a workflow's log group. Names under this prefix share one resource policy, whose size is limited (Step
 * Functions, "CloudWatch Logs").
 */
export function logGroupName(scope: Construct, workflow: Workflow): string {
  return `/aws/vendedlogs/states/${stateMachineName(scope, workflow)}`;
}

/** ARN of a workflow's state machine, without depending on it. */
export function stateMachineArn(scope: Construct, workflow: Workflow): string {
  return Stack.of(scope).formatArn({
    service: 'states',
    resource: 'stateMachine',
    resourceName: stateMachineName(scope, workflow),
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}

/** ARN pattern of a workflow's executions: all of them, unless `rest` restricts it. */
export function executionArn(scope: Construct, workflow: Workflow, rest = ':*'): string {
  return Stack.of(scope).formatArn({
    service: 'states',
    resource: 'execution',
    resourceName: `${stateMachineName(scope, workflow)}${rest}`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}

/**
 * A Standard state machine with JSONata. Its log names every state but excludes inputs and outputs: those contain the
 * token that confirms a restore.
 */
export function makeStateMachine(
  scope: Construct,
  workflow: Workflow,
  comment: string,
  start: IChainable,
  settings: WorkflowSettings & { readonly handlers: readonly StepHandler[] },
): StateMachine {
  const name = stateMachineName(scope, workflow);
  const machine = new StateMachine(scope, 'StateMachine', {
    stateMachineName: name,
    stateMachineType: StateMachineType.STANDARD,
    queryLanguage: QueryLanguage.JSONATA,
    comment,
    definitionBody: DefinitionBody.fromChainable(start),
    timeout: Duration.days(settings.timeoutDays),
    tracingEnabled: true,
    logs: {
      destination: new LogGroup(scope, 'Log', {
        logGroupName: logGroupName(scope, workflow),
        retention: settings.logRetention,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
      level: LogLevel.ALL,
      includeExecutionData: false,
    },
  });
  acceptWildcard(machine, '*', 'X-Ray and the delivery of logs accept no narrower resource.');
  for (const {
    function: { functionArn },
  } of settings.handlers) {
    acceptWildcard(machine, `${functionArn}:*`, 'Versions and aliases of our own function.');
  }
  return machine;
}
