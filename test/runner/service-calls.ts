import { z } from 'zod';
import type { TemplateModel } from './template-model.ts';

/** A call that AWS itself makes, with a role of the stack or as a service principal. */
export interface ServiceCall {
  /** ARN of the role that is assumed, or the name of the service. */
  readonly by: string;
  readonly action: string;
  readonly resource: string;
  readonly context?: Readonly<Record<string, string>>;
}

const State = z.looseObject({
  Type: z.string(),
  Resource: z.string().optional(),
  Arguments: z.looseObject({ FunctionName: z.string(), StateMachineArn: z.string() }).partial().optional(),
});
type Machine = { States: Record<string, unknown> };

/**
 * The calls of a state machine with a log group and X-Ray, besides its tasks ("Logging", "X-Ray" in its developer
 * guide).
 */
const LOGGING = [
  ...['CreateLogDelivery', 'GetLogDelivery', 'UpdateLogDelivery', 'DeleteLogDelivery'],
  ...['ListLogDeliveries', 'PutResourcePolicy', 'DescribeResourcePolicies', 'DescribeLogGroups'],
].map((name) => `logs:${name}`);
const TRACING = ['PutTraceSegments', 'PutTelemetryRecords', 'GetSamplingRules', 'GetSamplingTargets'].map(
  (name) => `xray:${name}`,
);

/**
 * The calls that services make for the stack, derived from its template: no emulator makes them with the roles that AWS
 * uses, so no test of the deployed stack records them. Throws an error for an unknown kind of task.
 */
export function* serviceCalls(template: TemplateModel): Generator<ServiceCall> {
  yield* assumptions(template);
  for (const machine of template.ofType('AWS::StepFunctions::StateMachine')) {
    const by = String(machine.value('RoleArn'));
    const definition = JSON.parse(String(machine.value('DefinitionString'))) as Machine;
    for (const state of statesOf(definition)) yield* callsOfTask(template, by, state);
    for (const action of [...LOGGING, ...TRACING]) yield { by, action, resource: '*' };
  }
  for (const schedule of template.ofType('AWS::Scheduler::Schedule')) {
    const target = schedule.value('Target') as { Arn: string; RoleArn: string };
    yield { by: target.RoleArn, action: 'states:StartExecution', resource: target.Arn };
  }
  for (const rule of template.ofType('AWS::Events::Rule')) {
    for (const { Arn, RoleArn, DeadLetterConfig } of rule.value('Targets') as EventTarget[]) {
      const events = { by: 'events.amazonaws.com', context: { 'aws:SourceArn': rule.arn } };
      if (Arn.includes(':stateMachine:'))
        yield { by: String(RoleArn), action: 'states:StartExecution', resource: Arn };
      else yield { ...events, action: 'lambda:InvokeFunction', resource: Arn };
      if (DeadLetterConfig) yield { ...events, action: 'sqs:SendMessage', resource: DeadLetterConfig.Arn };
    }
  }
  for (const integration of template.ofType('AWS::ApiGatewayV2::Integration')) {
    const api = String(integration.value('ApiId'));
    const SourceArn = `arn:aws:execute-api:${template.region}:${template.account}:${api}/$default/$default`;
    const resource = String(integration.value('IntegrationUri'));
    const by = 'apigateway.amazonaws.com';
    yield { by, action: 'lambda:InvokeFunction', resource, context: { 'aws:SourceArn': SourceArn } };
  }
  yield* callsOfTopics(template);
  yield* callsOfLambda(template);
}

interface EventTarget {
  readonly Arn: string;
  readonly RoleArn?: string;
  readonly DeadLetterConfig?: { readonly Arn: string };
}

/** Alarms publish to encrypted topics of the stack, and topics invoke functions. */
function* callsOfTopics(template: TemplateModel): Generator<ServiceCall> {
  const keys = new Map(
    [...template.ofType('AWS::SNS::Topic')].map(({ arn, value }) => [arn, String(value('KmsMasterKeyId'))]),
  );
  const alarms = { by: 'cloudwatch.amazonaws.com', context: { 'aws:SourceAccount': template.account } };
  for (const alarm of template.ofType('AWS::CloudWatch::Alarm')) {
    for (const topic of new Set(
      [alarm.value('AlarmActions') ?? [], alarm.value('OKActions') ?? []].flat(2),
    )) {
      const key = keys.get(String(topic));
      // Topics of others have policies of their own.
      if (key === undefined) continue;
      yield { ...alarms, action: 'sns:Publish', resource: String(topic) };
      for (const action of ['kms:GenerateDataKey', 'kms:Decrypt']) yield { ...alarms, action, resource: key };
    }
  }
  for (const { value } of template.ofType('AWS::SNS::Subscription')) {
    if (value('Protocol') !== 'lambda') continue;
    const context = { 'aws:SourceArn': String(value('TopicArn')) };
    yield {
      by: 'sns.amazonaws.com',
      action: 'lambda:InvokeFunction',
      resource: String(value('Endpoint')),
      context,
    };
  }
}

/** Services assume the roles that they call with. */
function* assumptions(template: TemplateModel): Generator<ServiceCall> {
  const { region, account } = template;
  const roles: [service: string, role: unknown, source?: string][] = [];
  for (const one of template.ofType('AWS::StepFunctions::StateMachine'))
    roles.push(['states', one.value('RoleArn'), one.arn]);
  for (const one of template.ofType('AWS::Scheduler::Schedule')) {
    const group = `arn:aws:scheduler:${region}:${account}:schedule-group/${one.value('GroupName')}`;
    roles.push(['scheduler', (one.value('Target') as EventTarget).RoleArn, group]);
  }
  for (const one of template.ofType('AWS::Events::Rule')) {
    for (const { RoleArn } of one.value('Targets') as EventTarget[]) {
      if (RoleArn !== undefined) roles.push(['events', RoleArn]);
    }
  }
  for (const one of template.ofType('AWS::Lambda::Function')) roles.push(['lambda', one.value('Role')]);
  for (const [service, role, source] of roles) {
    yield {
      by: `${service}.amazonaws.com`,
      action: 'sts:AssumeRole',
      resource: String(role),
      context: { 'aws:SourceAccount': account, ...(source === undefined ? {} : { 'aws:SourceArn': source }) },
    };
  }
}

/** Every state of a definition, also those of branches and maps. */
function* statesOf({ States }: Machine): Generator<z.infer<typeof State>> {
  for (const found of Object.values(States)) {
    yield State.parse(found);
    const { Branches = [], ItemProcessor } = found as { Branches?: Machine[]; ItemProcessor?: Machine };
    for (const inner of [...Branches, ...(ItemProcessor ? [ItemProcessor] : [])]) yield* statesOf(inner);
  }
}

function* callsOfTask(
  { region, account }: TemplateModel,
  by: string,
  { Type, Resource, Arguments }: z.infer<typeof State>,
): Generator<ServiceCall> {
  if (Type !== 'Task') return;
  const kind = Resource?.replace(/^arn:aws:states:::/, '');
  const { FunctionName, StateMachineArn } = Arguments ?? {};
  if (kind === 'lambda:invoke' || kind === 'lambda:invoke.waitForTaskToken') {
    yield { by, action: 'lambda:InvokeFunction', resource: String(FunctionName) };
  } else if (kind === 'states:startExecution.sync:2') {
    const machine = String(StateMachineArn);
    yield { by, action: 'states:StartExecution', resource: machine };
    const execution = `${machine.replace(':stateMachine:', ':execution:')}:job`;
    for (const name of ['DescribeExecution', 'StopExecution'])
      yield { by, action: `states:${name}`, resource: execution };
    const rule = `arn:aws:events:${region}:${account}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule`;
    for (const name of ['PutTargets', 'PutRule', 'DescribeRule'])
      yield { by, action: `events:${name}`, resource: rule };
  } else {
    throw new Error(`Nothing is known of what a task of kind ${Resource} calls.`);
  }
}

/** The calls of Lambda with the role of a function: its log, its network, and the destination of failed events. */
function* callsOfLambda(template: TemplateModel): Generator<ServiceCall> {
  const roles = new Map<string, string>();
  for (const one of template.ofType('AWS::Lambda::Function')) {
    const by = String(one.value('Role'));
    for (const ref of [one.id, one.arn, String(one.value('FunctionName'))]) roles.set(ref, by);
    const { LogGroup } = one.value('LoggingConfig') as { LogGroup: string };
    const resource = `arn:aws:logs:${template.region}:${template.account}:log-group:${LogGroup}:log-stream:2026/11/29`;
    for (const name of ['CreateLogStream', 'PutLogEvents']) yield { by, action: `logs:${name}`, resource };
    if (one.value('VpcConfig') === undefined) continue;
    for (const name of [
      ...['CreateNetworkInterface', 'DescribeNetworkInterfaces', 'DeleteNetworkInterface'],
      ...['DescribeSubnets', 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
    ]) {
      yield { by, action: `ec2:${name}`, resource: '*' };
    }
  }
  for (const one of template.ofType('AWS::Lambda::EventInvokeConfig')) {
    const by = roles.get(String(one.value('FunctionName')));
    const { OnFailure } = one.value('DestinationConfig') as { OnFailure?: { Destination: string } };
    if (by === undefined) throw new Error(`Function ${one.value('FunctionName')} is not in the template.`);
    if (OnFailure) yield { by, action: 'sqs:SendMessage', resource: OnFailure.Destination };
  }
}
