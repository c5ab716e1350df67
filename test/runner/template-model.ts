import { z } from 'zod';

const Template = z.object({
  Resources: z.record(
    z.string(),
    z.object({ Type: z.string(), Properties: z.record(z.string(), z.json()).default({}) }),
  ),
});
type Template = z.infer<typeof Template>;

/** Physical ids of a stack's resources by their logical ids. */
export type PhysicalIds = ReadonlyMap<string, string>;

/**
 * A synthesized template with its references resolved to physical ids of a deployment, or to logical ids without one.
 */
export class TemplateModel {
  readonly region: string;
  readonly account: string;
  readonly #resources: Template['Resources'];
  readonly #ids: PhysicalIds;

  constructor(template: unknown, ids: PhysicalIds, { region, account }: { region: string; account: string }) {
    this.#resources = Template.parse(template).Resources;
    this.#ids = ids;
    this.region = region;
    this.account = account;
  }

  /** The resources of a type, with resolved properties. */
  *ofType(type: string): Generator<{ id: string; arn: string; value: (name: string) => unknown }> {
    for (const [id, { Type, Properties }] of Object.entries(this.#resources)) {
      if (Type === type) yield { id, arn: this.arn(id), value: (name) => this.#resolve(Properties[name]) };
    }
  }

  /** The value of an output, with its references replaced. */
  output(value: unknown): unknown {
    return this.#resolve(value);
  }

  /** A value of the template with its references replaced. */
  #resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.#resolve(item));
    if (typeof value !== 'object' || value === null) return value;
    const [[name = '', inner] = ['', undefined], ...rest] = Object.entries(value);
    if (rest.length === 0 && name === 'Ref') return this.#reference(String(inner));
    if (rest.length === 0 && name === 'Fn::GetAtt') {
      const [id = '', attribute = ''] = [inner].flat().map(String);
      if (attribute === 'Arn') return this.arn(id);
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
      'AWS::URLSuffix': 'amazonaws.com',
      'AWS::Region': this.region,
      'AWS::AccountId': this.account,
    };
    const known = pseudo[id] ?? this.#ids.get(id);
    if (known !== undefined) return known;
    // The reference to a state machine or a topic is its ARN; the name of the former is in the template.
    const { Type, Properties } = this.#resources[id] ?? {};
    if (Type === 'AWS::StepFunctions::StateMachine')
      return `arn:aws:states:${this.region}:${this.account}:stateMachine:${Properties?.StateMachineName}`;
    return Type === 'AWS::SNS::Topic' ? `arn:aws:sns:${this.region}:${this.account}:${id}` : id;
  }

  arn(id: string): string {
    const physical = this.#reference(id);
    if (physical.startsWith('arn:')) return physical;
    const here = `${this.region}:${this.account}`;
    switch (this.#resources[id]?.Type) {
      case 'AWS::S3::Bucket':
        return `arn:aws:s3:::${physical}`;
      case 'AWS::IAM::Role':
        return `arn:aws:iam::${this.account}:role/${physical}`;
      case 'AWS::KMS::Key':
        return `arn:aws:kms:${here}:key/${physical}`;
      case 'AWS::Lambda::Function':
        return `arn:aws:lambda:${here}:function:${physical}`;
      case 'AWS::SQS::Queue':
        return `arn:aws:sqs:${here}:${physical.split('/').at(-1)}`;
      case 'AWS::Events::Rule':
        return `arn:aws:events:${here}:rule/${physical}`;
      case 'AWS::Logs::LogGroup':
        return `arn:aws:logs:${here}:log-group:${physical}:*`;
      default:
        return physical;
    }
  }
}
