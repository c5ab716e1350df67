import { readFile } from 'node:fs/promises';
import { type CloudFormationClient, paginateListStackResources } from '@aws-sdk/client-cloudformation';
import { runSimulation } from '@cloud-copilot/iam-simulate';
import { z } from 'zod';
import { parseJson } from '../../shared/core/input.ts';

/** A call of a function, as the emulator records it: local/emulator/recorded_calls.py. */
const RecordedCall = z.object({
  principal: z.string(),
  action: z.string(),
  resource: z.string(),
  context: z.record(z.string(), z.string()),
});
export type RecordedCall = z.infer<typeof RecordedCall>;

const Template = z.object({
  Resources: z.record(
    z.string(),
    z.object({ Type: z.string(), Properties: z.record(z.string(), z.json()).default({}) }),
  ),
});
type Template = z.infer<typeof Template>;

/** Physical ids of a stack's resources by their logical ids. */
export type PhysicalIds = ReadonlyMap<string, string>;

interface Policy {
  readonly name: string;
  readonly policy: object;
}

/** What a call through S3 needs of the key that encrypts the bucket: S3 calls KMS with the caller's permissions. */
const KMS_ACTIONS: Readonly<Record<string, readonly string[]>> = {
  's3:GetObject': ['kms:Decrypt'],
  's3:GetObjectVersion': ['kms:Decrypt'],
  // Completing a multipart upload decrypts its parts.
  's3:PutObject': ['kms:GenerateDataKey', 'kms:Decrypt'],
};

/**
 * Calls that the library evaluates against "*" only, since the service authorization reference names no resource for them.
 * AWS compares the ARN of the state machine (its AccessDenied messages name it), and of every schedule
 * (aws/aws-cdk#38201); so does the emulator.
 */
const NOT_IN_REFERENCE = new Set([
  'states:SendTaskSuccess',
  'states:SendTaskFailure',
  'scheduler:ListSchedules',
]);

/** What the policies of a synthesized template say about calls, with the names that a deployment gave to its resources. */
export class SynthesizedPolicies {
  readonly #resources: Template['Resources'];
  readonly #ids: PhysicalIds;
  readonly #region: string;
  readonly #account: string;
  /** Policies of each function's role, by the function's name. */
  readonly #identity = new Map<string, Policy[]>();
  /** Policies of buckets and keys, by ARN. */
  readonly #attached = new Map<string, object>();
  /** ARN of the key of each encrypted bucket, by the bucket's ARN. */
  readonly #keyOf = new Map<string, string>();

  constructor(template: unknown, ids: PhysicalIds, { region, account }: { region: string; account: string }) {
    this.#resources = Template.parse(template).Resources;
    this.#ids = ids;
    this.#region = region;
    this.#account = account;
    for (const [id, { Type, Properties }] of Object.entries(this.#resources)) {
      const value = (name: string) => this.#resolve(Properties[name]);
      if (Type === 'AWS::Lambda::Function') {
        this.#identity.set(String(value('FunctionName')), this.#policiesOf(String(value('Role'))));
      } else if (Type === 'AWS::S3::BucketPolicy') {
        this.#attached.set(`arn:aws:s3:::${value('Bucket')}`, value('PolicyDocument') as object);
      } else if (Type === 'AWS::KMS::Key') {
        this.#attached.set(this.#arn(id), value('KeyPolicy') as object);
      } else if (Type === 'AWS::S3::Bucket') {
        const key = /"KMSMasterKeyID":"([^"]+)"/.exec(JSON.stringify(value('BucketEncryption') ?? null))?.[1];
        if (key !== undefined) this.#keyOf.set(this.#arn(id), key);
      }
    }
  }

  /** The functions whose roles the template has. */
  get functions(): string[] {
    return [...this.#identity.keys()];
  }

  /** Why a call is not allowed; undefined if it is, or if its caller is not a function of the template. */
  async refusal({ principal, action, resource, context }: RecordedCall): Promise<string | undefined> {
    const caller = principal.split('/').at(-1) ?? '';
    const identityPolicies = this.#identity.get(caller);
    if (identityPolicies === undefined || NOT_IN_REFERENCE.has(action)) return undefined;
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
            resource: { resource: on, accountId: this.#account },
            contextVariables: { 'aws:SecureTransport': 'true', 's3:TlsVersion': '1.3', ...context },
          },
          sessionPolicy: undefined,
          identityPolicies,
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

  #policiesOf(roleArn: string): Policy[] {
    return Object.entries(this.#resources).flatMap(([name, { Type, Properties }]): Policy[] => {
      if (Type !== 'AWS::IAM::Policy') return [];
      const roles = [this.#resolve(Properties.Roles)]
        .flat()
        .map((role) => `arn:aws:iam::${this.#account}:role/${role}`);
      return roles.includes(roleArn)
        ? [{ name, policy: this.#resolve(Properties.PolicyDocument) as object }]
        : [];
    });
  }

  /** A value of the template with its references replaced by what the deployment made. */
  #resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#resolve(item));
    if (typeof value !== 'object' || value === null) return value;
    const [[name = '', inner] = ['', undefined], ...rest] = Object.entries(value);
    if (rest.length === 0 && name === 'Ref') return this.#reference(String(inner));
    if (rest.length === 0 && name === 'Fn::GetAtt') {
      const [id = '', attribute = ''] = [inner].flat().map(String);
      if (attribute === 'Arn') return this.#arn(id);
      return `${id}.${attribute}`;
    }
    if (rest.length === 0 && name === 'Fn::Join') {
      const [separator, parts] = inner as [string, unknown[]];
      return parts.map((part) => String(this.#resolve(part))).join(separator);
    }
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.#resolve(item)]));
  }

  #reference(id: string): string {
    const pseudo: Record<string, string> = {
      'AWS::Partition': 'aws',
      'AWS::Region': this.#region,
      'AWS::AccountId': this.#account,
    };
    return pseudo[id] ?? this.#ids.get(id) ?? id;
  }

  #arn(id: string): string {
    const physical = this.#reference(id);
    if (physical.startsWith('arn:')) return physical;
    const here = `${this.#region}:${this.#account}`;
    switch (this.#resources[id]?.Type) {
      case 'AWS::S3::Bucket':
        return `arn:aws:s3:::${physical}`;
      case 'AWS::IAM::Role':
        return `arn:aws:iam::${this.#account}:role/${physical}`;
      case 'AWS::KMS::Key':
        return `arn:aws:kms:${here}:key/${physical}`;
      case 'AWS::Lambda::Function':
        return `arn:aws:lambda:${here}:function:${physical}`;
      case 'AWS::SQS::Queue':
        return `arn:aws:sqs:${here}:${physical.split('/').at(-1)}`;
      case 'AWS::Logs::LogGroup':
        return `arn:aws:logs:${here}:log-group:${physical}:*`;
      default:
        return physical;
    }
  }
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

/** The calls of a file that the emulator wrote. A file that is not there has none. */
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
