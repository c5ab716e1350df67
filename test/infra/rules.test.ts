import { beforeAll, describe, expect, test } from '@jest/globals';
import { isProtected, synthesize } from './template.ts';
import { VARIANTS } from './variants.ts';

/** A resource of a template. */
interface Resource {
  readonly Type: string;
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
  readonly Properties: Record<string, unknown>;
}

/** Resources with data that cannot be recreated, or with audit records. */
const KEPT = ['AWS::S3::Bucket', 'AWS::KMS::Key', 'AWS::SecretsManager::Secret'];

/** Errors of Lambda's platform after which each invocation must be retried, regardless of what it does. */
const PLATFORM = [
  'Lambda.ResourceNotReadyException',
  'Lambda.TooManyRequestsException',
  'Runtime.OutOfMemory',
];

interface State {
  readonly Type: string;
  readonly Resource?: string;
  readonly TimeoutSeconds?: number;
  readonly Retry?: { readonly ErrorEquals: readonly string[] }[];
  readonly Catch?: { readonly ErrorEquals: readonly string[] }[];
  readonly States?: Record<string, State>;
  readonly Branches?: readonly { readonly States: Record<string, State> }[];
  readonly ItemProcessor?: { readonly States: Record<string, State> };
}

/** Rules that hold for every deployment, regardless of its configuration, in the manner of cfn-guard. */
describe.each(Object.entries(VARIANTS))('the template of %s', (name, overrides) => {
  let resources: [string, Resource][];
  const of = (type: string) => resources.filter(([, { Type }]) => Type === type);

  beforeAll(() => {
    resources = Object.entries(synthesize(overrides).toJSON().Resources as Record<string, Resource>);
  });

  test('gives functions a supported runtime, a time limit, a log group, and no more memory than is configured', () => {
    const most = name === 'an account with more than a new one' ? 5308 : 3008;
    for (const [id, { Properties }] of of('AWS::Lambda::Function')) {
      const { MemorySize, Timeout, Runtime, LoggingConfig } = Properties;
      expect([id, Number(MemorySize) <= most, Number(Timeout) <= 900]).toEqual([id, true, true]);
      expect([id, Runtime]).toEqual([id, expect.stringMatching(/^nodejs(22|24)\.x$/)]);
      expect([id, LoggingConfig]).toEqual([id, expect.objectContaining({ LogGroup: expect.anything() })]);
    }
  });

  test('retains data, keys and secrets on update and deletion, and nothing of a failed first deployment', () => {
    const destroyed = name === 'an account with more than a new one';
    for (const [id, { Type, DeletionPolicy, UpdateReplacePolicy }] of resources) {
      // This key encrypts messages only until they are delivered.
      const kept = KEPT.includes(Type) && !id.startsWith('NotificationsKey');
      if (kept) {
        const expected = destroyed ? ['Delete', 'Delete'] : ['RetainExceptOnCreate', 'Retain'];
        expect([id, DeletionPolicy, UpdateReplacePolicy]).toEqual([id, ...expected]);
      }
      expect([id, DeletionPolicy]).not.toEqual([id, 'Retain']);
    }
  });

  test('places every function that reaches stores or calls hooks in one network, or none at all', () => {
    const placed = of('AWS::Lambda::Function').flatMap(([, { Properties }]) =>
      Properties.VpcConfig === undefined ? [] : [JSON.stringify(Properties.VpcConfig)],
    );
    if (name !== 'a network, hooks and files') return expect(placed).toEqual([]);
    expect(new Set(placed).size).toBe(1);
    const outside = of('AWS::Lambda::Function')
      .filter(([, { Properties }]) => Properties.VpcConfig === undefined)
      .map(([, { Properties }]) => String(Properties.FunctionName).replace('Ngbak-', ''));
    expect(
      outside.filter((each) =>
        /^(export-(graph|vectors|kv)|restore-|plan-|check-|inspect-|janitor|begin-)/.test(each),
      ),
    ).toEqual([]);
    return expect(outside).toContain('seal-backup');
  });

  test('mounts the file system in functions that access files, and nowhere else', () => {
    const mounted = of('AWS::Lambda::Function')
      .filter(([, { Properties }]) => Properties.FileSystemConfigs !== undefined)
      .map(([, { Properties }]) => String(Properties.FunctionName).replace('Ngbak-', ''));
    const reaching = ['check-fences', 'export-kv', 'inspect-restore', 'janitor', 'plan-backup', 'restore-kv'];
    expect(mounted.sort()).toEqual(name === 'a network, hooks and files' ? reaching : []);
  });

  test('belongs to a stack with termination protection, unless its data are to be deleted with it', () => {
    expect(isProtected(overrides)).toBe(name !== 'an account with more than a new one');
  });

  test('retries every invocation of a function after platform errors, limits its time, and catches the rest', () => {
    const definitions = of('AWS::StepFunctions::StateMachine').map(([, { Properties }]) => {
      const parts = (Properties.DefinitionString as { 'Fn::Join': [string, unknown[]] })['Fn::Join'][1];
      const text = parts.map((part) => (typeof part === 'string' ? part : 'reference')).join('');
      return JSON.parse(text) as { States: Record<string, State>; TimeoutSeconds?: number };
    });
    expect(definitions).toHaveLength('copies' in overrides ? 3 : 2);
    for (const { States, TimeoutSeconds } of definitions) {
      expect(TimeoutSeconds).toBeGreaterThan(0);
      const tasks = [...statesOf(States)].filter(([, { Resource }]) => Resource?.includes(':lambda:invoke'));
      expect(tasks.length).toBeGreaterThan(1);
      for (const [state, { Retry = [], TimeoutSeconds: limit }] of tasks) {
        const retried = Retry.flatMap(({ ErrorEquals }) => ErrorEquals);
        expect([state, retried]).toEqual([state, expect.arrayContaining(PLATFORM)]);
        expect([state, Number(limit) > 0]).toEqual([state, true]);
      }
      for (const [state, { Type, Catch = [] }] of Object.entries(States)) {
        if (!['Task', 'Parallel', 'Map'].includes(Type)) continue;
        expect([state, Catch.at(-1)?.ErrorEquals]).toEqual([state, ['States.ALL']]);
      }
    }
  });

  test('encrypts buckets, queues and topics, and limits the retention of every log', () => {
    for (const [id, { Properties }] of of('AWS::S3::Bucket')) {
      expect([id, Properties.PublicAccessBlockConfiguration]).toEqual([
        id,
        {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
      ]);
      expect([id, JSON.stringify(Properties.BucketEncryption)]).toEqual([
        id,
        expect.stringContaining('aws:kms'),
      ]);
    }
    for (const [id, { Properties }] of of('AWS::SQS::Queue')) {
      expect([id, Properties.SqsManagedSseEnabled]).toEqual([id, true]);
    }
    for (const [id, { Properties }] of of('AWS::Logs::LogGroup')) {
      expect([id, Number(Properties.RetentionInDays) > 0]).toEqual([id, true]);
    }
  });

  test('lets nobody but AWS services in this account assume a role, and gives no role more than its own policy', () => {
    for (const [id, { Properties }] of of('AWS::IAM::Role')) {
      const { Statement } = Properties.AssumeRolePolicyDocument as { Statement: { Principal: object }[] };
      for (const { Principal } of Statement) expect([id, Object.keys(Principal)]).toEqual([id, ['Service']]);
      expect([id, Properties.ManagedPolicyArns]).toEqual([id, undefined]);
    }
    for (const [id, { Properties }] of of('AWS::IAM::Policy')) {
      const { Statement } = Properties.PolicyDocument as {
        Statement: { Effect: string; Action: string | string[] }[];
      };
      const actions = Statement.filter(({ Effect }) => Effect === 'Allow').flatMap(({ Action }) => Action);
      expect([id, actions.filter((action) => action === '*' || action.endsWith(':*'))]).toEqual([id, []]);
    }
  });
});

/** Every state of a state machine, at any depth. */
function* statesOf(states: Record<string, State>): Generator<[string, State]> {
  for (const [name, state] of Object.entries(states)) {
    yield [name, state];
    for (const branch of state.Branches ?? []) yield* statesOf(branch.States);
    if (state.ItemProcessor) yield* statesOf(state.ItemProcessor.States);
  }
}
