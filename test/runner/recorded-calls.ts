import { readFile } from 'node:fs/promises';
import { type CloudFormationClient, paginateListStackResources } from '@aws-sdk/client-cloudformation';
import { runSimulation } from '@cloud-copilot/iam-simulate';
import { z } from 'zod';
import { parseJson } from '../../shared/core/input.ts';
import { OPERATOR_USER } from '../stack/operator.ts';
import { type ServiceCall, serviceCalls } from './service-calls.ts';
import { type PhysicalIds, TemplateModel } from './template-model.ts';

/** A call of a function or an operator, as the emulator records it: local/emulator/recorded_calls.py. */
const RecordedCall = z.object({
  principal: z.string(),
  action: z.string(),
  resource: z.string(),
  context: z.record(z.string(), z.string()),
});
export type RecordedCall = z.infer<typeof RecordedCall>;

interface Policy {
  readonly name: string;
  readonly policy: object;
}

/**
 * The permissions of a call through S3 on the key that encrypts the bucket: S3 calls KMS with the caller's permissions.
 */
const KMS_ACTIONS: Readonly<Record<string, readonly string[]>> = {
  's3:GetObject': ['kms:Decrypt'],
  's3:GetObjectVersion': ['kms:Decrypt'],
  // Completing a multipart upload decrypts its parts.
  's3:PutObject': ['kms:GenerateDataKey', 'kms:Decrypt'],
};

/**
 * Calls that the library evaluates against "*" only, since the service authorization reference lists no resource for
 * them. AWS compares the ARN of the state machine (its AccessDenied messages name it), and of every schedule
 * (aws/aws-cdk#38201); so does the emulator. They are evaluated here, against that ARN.
 */
const NOT_IN_REFERENCE = new Set([
  'states:SendTaskSuccess',
  'states:SendTaskFailure',
  'scheduler:ListSchedules',
]);

/**
 * Other callers: the CDK CLI that deploys, users of the tests of `doctor` whose calls must be refused, and the
 * functions of the stacks that a test file deploys, whose templates are not available here; and the sessions of roles
 * that ngbak assumes in other accounts (shared/aws/assume-role.ts).
 */
const NOT_NGBAK = /^(aws-cdk-|doctor-|NgbakPrefix-|NgbakNotify-|NgbakCopies-|NgbakLost-|NgbakNew-|ngbak$)/;

/** Evaluates calls against the policies of a synthesized template, with the resource names of a deployment. */
export class SynthesizedPolicies {
  readonly #template: TemplateModel;
  /** Policies by their owner: names of functions, ARNs of roles. */
  readonly #identity = new Map<string, Policy[]>();
  /** Policies of buckets, keys, queues, functions and roles, by ARN. */
  readonly #attached = new Map<string, object>();
  /** ARN of the key of each encrypted bucket, by the bucket's ARN. */
  readonly #keyOf = new Map<string, string>();
  /** The policy that the stack publishes for operators. */
  readonly #operator: Policy[] = [];

  constructor(template: unknown, ids: PhysicalIds, where: { region: string; account: string }) {
    const model = new TemplateModel(template, ids, where);
    this.#template = model;
    for (const { id, arn, value } of model.ofType('AWS::IAM::Role')) {
      this.#identity.set(arn, this.#policiesOf(arn));
      // The policy of a role that says who may assume it names no resource.
      const trust = value('AssumeRolePolicyDocument') as { Statement: object[] };
      this.#attached.set(arn, {
        ...trust,
        Statement: trust.Statement.map((statement) => ({ ...statement, Sid: id, Resource: arn })),
      });
    }
    for (const { value } of model.ofType('AWS::Lambda::Function')) {
      this.#identity.set(String(value('FunctionName')), this.#policiesOf(String(value('Role'))));
    }
    for (const { id, value } of model.ofType('AWS::IAM::ManagedPolicy')) {
      if (value('Roles') === undefined)
        this.#operator.push({ name: id, policy: value('PolicyDocument') as object });
    }
    for (const { value } of model.ofType('AWS::S3::BucketPolicy')) {
      this.#attached.set(`arn:aws:s3:::${value('Bucket')}`, value('PolicyDocument') as object);
    }
    for (const { arn, value } of model.ofType('AWS::KMS::Key')) {
      this.#attached.set(arn, value('KeyPolicy') as object);
    }
    for (const { value } of model.ofType('AWS::SQS::QueuePolicy')) {
      for (const queue of value('Queues') as string[]) {
        const { region, account } = where;
        const name = queue.split('/').at(-1);
        this.#attached.set(`arn:aws:sqs:${region}:${account}:${name}`, value('PolicyDocument') as object);
      }
    }
    for (const { value } of model.ofType('AWS::SNS::TopicPolicy')) {
      for (const topic of value('Topics') as string[])
        this.#attached.set(topic, value('PolicyDocument') as object);
    }
    this.#attachPermissions();
    for (const { arn, value } of model.ofType('AWS::S3::Bucket')) {
      const key = /"KMSMasterKeyID":"([^"]+)"/.exec(JSON.stringify(value('BucketEncryption') ?? null))?.[1];
      if (key !== undefined) this.#keyOf.set(arn, key);
    }
  }

  /** The functions whose roles the template has. */
  get functions(): string[] {
    return [...this.#identity.keys()].filter((name) => !name.startsWith('arn:'));
  }

  /** Why a call is not allowed, or that its caller is not in the template; undefined if it is allowed. */
  async refusal({ principal, action, resource, context }: RecordedCall): Promise<string | undefined> {
    const caller = principal.split('/').at(-1) ?? '';
    const identity = principal.endsWith(OPERATOR_USER) ? this.#operator : this.#identity.get(caller);
    if (identity === undefined) {
      return NOT_NGBAK.test(caller) ? undefined : `${caller}: not a function of the template`;
    }
    return this.#evaluate({ caller, principal, action, resource, context, identity });
  }

  /** Why a call of a service, derived from the template, is not allowed. */
  async refusalOfService({ by, action, resource, context = {} }: ServiceCall): Promise<string | undefined> {
    const role = by.startsWith('arn:');
    const identity = role ? this.#identity.get(by) : [];
    if (identity === undefined) return `${by}: not a role of the template`;
    const principal = role ? by.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/') : by;
    return this.#evaluate({
      caller: by,
      principal: role ? `${principal}/session` : principal,
      action,
      resource,
      context,
      identity,
    });
  }

  /** The calls of services that the template needs. */
  serviceCalls(): ServiceCall[] {
    return [...serviceCalls(this.#template)];
  }

  async #evaluate({
    caller,
    principal,
    action,
    resource,
    context,
    identity,
  }: Call): Promise<string | undefined> {
    if (NOT_IN_REFERENCE.has(action)) {
      return allows(identity, action, resource)
        ? undefined
        : `${caller}: ${action} on ${resource}: not allowed`;
    }
    const bucket = resource.split('/')[0] ?? '';
    const calls: [string, string, object | undefined][] = [
      [action, resource, this.#attached.get(resource) ?? this.#attached.get(bucket)],
    ];
    const key = this.#keyOf.get(bucket);
    if (key !== undefined) {
      for (const kms of KMS_ACTIONS[action] ?? []) calls.push([kms, key, this.#attached.get(key)]);
    }
    for (const [name, on, attached] of calls) {
      const result = await runSimulation(
        {
          request: {
            principal,
            action: name,
            resource: { resource: on, accountId: this.#template.account },
            contextVariables: { 'aws:SecureTransport': 'true', 's3:TlsVersion': '1.3', ...context },
          },
          sessionPolicy: undefined,
          identityPolicies: identity,
          ...(attached === undefined ? {} : { resourcePolicy: attached }),
          serviceControlPolicies: [],
          resourceControlPolicies: [],
          permissionBoundaryPolicies: [],
        },
        {},
      );
      if (result.resultType === 'error')
        return `${caller}: ${name} on ${on}: ${JSON.stringify(result.errors)}`;
      if (result.overallResult !== 'Allowed') return `${caller}: ${name} on ${on}: ${result.overallResult}`;
    }
    return undefined;
  }

  /** Permissions of functions, as the resource policy that Lambda derives from them. */
  #attachPermissions(): void {
    const statements = new Map<string, object[]>();
    for (const { id, value } of this.#template.ofType('AWS::Lambda::Permission')) {
      const Resource = String(value('FunctionName'));
      const statement = {
        Sid: id,
        Effect: 'Allow',
        Principal: { Service: value('Principal') },
        Action: value('Action'),
        Resource,
        Condition: { ArnLike: { 'aws:SourceArn': value('SourceArn') } },
      };
      statements.set(Resource, [...(statements.get(Resource) ?? []), statement]);
    }
    for (const [arn, Statement] of statements) this.#attached.set(arn, { Version: '2012-10-17', Statement });
  }

  /** The policies of a role. The CDK moves statements that exceed the size limit into attached managed policies. */
  #policiesOf(roleArn: string): Policy[] {
    const all = ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy'].flatMap((type) => [
      ...this.#template.ofType(type),
    ]);
    return all.flatMap(({ id, value }): Policy[] => {
      const roles = [value('Roles') ?? []]
        .flat()
        .map((role) => `arn:aws:iam::${this.#template.account}:role/${role}`);
      return roles.includes(roleArn) ? [{ name: id, policy: value('PolicyDocument') as object }] : [];
    });
  }
}

interface Call extends Omit<RecordedCall, 'context'> {
  readonly caller: string;
  readonly context: Readonly<Record<string, string>>;
  readonly identity: Policy[];
}

/** Whether a statement allows the action on the resource and none denies it; conditions are not supported. */
function allows(policies: readonly Policy[], action: string, resource: string): boolean {
  const statements = policies.flatMap(
    ({ policy }) => [Reflect.get(policy, 'Statement')].flat() as Statement[],
  );
  const matching = statements.filter(
    ({ Action, Resource }) =>
      [Action].flat().some((pattern) => matchesGlob(pattern.toLowerCase(), action.toLowerCase())) &&
      [Resource].flat().some((pattern) => matchesGlob(pattern, resource)),
  );
  const conditional = matching.find(({ Condition }) => Condition !== undefined);
  if (conditional) throw new Error(`${action}: conditions are not evaluated for this action.`);
  return matching.length > 0 && matching.every(({ Effect }) => Effect === 'Allow');
}

interface Statement {
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource: string | string[];
  readonly Condition?: object;
}

function matchesGlob(pattern: string, text: string): boolean {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(text);
}

/** Physical ids of everything in a deployed stack. */
export async function physicalIds(client: CloudFormationClient, StackName: string): Promise<PhysicalIds> {
  const ids = new Map<string, string>();
  for await (const { StackResourceSummaries = [] } of paginateListStackResources({ client }, { StackName })) {
    for (const { LogicalResourceId = '', PhysicalResourceId = '' } of StackResourceSummaries) {
      ids.set(LogicalResourceId, PhysicalResourceId);
    }
  }
  return ids;
}

/** The calls in a file that the emulator wrote. A missing file has none. */
export async function readRecordedCalls(path: string): Promise<RecordedCall[]> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => parseJson(RecordedCall, line, path));
}
