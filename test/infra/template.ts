import './fingerprints.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import type { Bundles } from '../../infra/bundle.ts';
import { readDeployment } from '../../infra/config.ts';
import { FUNCTION_NAMES } from '../../infra/functions.ts';
import { NgbakStack } from '../../infra/stack.ts';
import { readVault } from '../../infra/vault/config.ts';
import { VaultStack } from '../../infra/vault/stack.ts';

/**
 * A configuration with two targets, so that permissions for one store of one target can be distinguished from the
 * others.
 */
export const DEPLOYMENT = {
  targets: {
    default: { stores: { graph: { kind: 'neo4j' }, vectors: { kind: 'qdrant' }, kv: { kind: 'redis' } } },
    other: { stores: { graph: { kind: 'neo4j', secret: 'team/graph' } } },
  },
};

// The CDK's own validation of templates takes ten times as long as a synthesis. app.test.ts synthesizes with it.
process.env.CDK_VALIDATION = 'false';

const synthesized = new Map<string, Template>();

/**
 * The template for CloudFormation. The code of the functions does not matter here: it is this folder instead of the
 * bundles. The tests of one file share a template, since a synthesis takes seconds.
 */
export function synthesize(overrides: object = {}): Template {
  const key = JSON.stringify(overrides);
  const template = synthesized.get(key) ?? makeTemplate(overrides);
  synthesized.set(key, template);
  return template;
}

/** The same for a stack with a known region, as with credentials in the CDK CLI. */
export function synthesizeIn(region: string, overrides: object): Template {
  return makeTemplate(overrides, { region, account: '111122223333' });
}

/** Whether CloudFormation refuses to delete the stack. A template does not contain it. */
export function isProtected(overrides: object): boolean | undefined {
  return withStack(overrides, undefined, (stack) => stack.terminationProtection);
}

function makeTemplate(overrides: object, env?: { region: string; account: string }): Template {
  return withStack(overrides, env, (stack) => Template.fromStack(stack));
}

function withStack<T>(
  overrides: object,
  env: { region: string; account: string } | undefined,
  read: (stack: NgbakStack) => T,
): T {
  const outdir = mkdtempSync(join(tmpdir(), 'ngbak-infra-'));
  try {
    const app = new App({ outdir });
    const bundles = Object.fromEntries(FUNCTION_NAMES.map((name) => [name, import.meta.dirname])) as Bundles;
    const deployment = readDeployment({ ...DEPLOYMENT, ...overrides });
    return read(
      new NgbakStack(app, deployment.stackName, {
        deployment,
        bundles,
        ...(env === undefined ? {} : { env }),
      }),
    );
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}

export const VAULT_PLACE = { account: '444455556666', region: 'eu-central-1' } as const;

/** The template of a vault with this configuration, in an account of its own. */
export function synthesizeVault(config: object): Template {
  const outdir = mkdtempSync(join(tmpdir(), 'ngbak-vault-'));
  try {
    const vault = readVault(JSON.stringify(config));
    return Template.fromStack(
      new VaultStack(new App({ outdir }), vault.stackName, { vault, env: VAULT_PLACE }),
    );
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}

/** A statement of a policy, with its references as text. */
export interface Statement {
  readonly effect: string;
  readonly actions: string[];
  readonly resources: string[];
  readonly condition: unknown;
}

/** All permissions of a function's role, by the function's name without that of the stack. */
export function permissions(template: Template): Map<string, Statement[]> {
  const resources = template.toJSON().Resources as Record<string, { Type: string; Properties: Properties }>;
  const all = new Map<string, Statement[]>();
  for (const { Type, Properties } of Object.values(resources)) {
    if (Type !== 'AWS::Lambda::Function') continue;
    const role = (Properties.Role as { 'Fn::GetAtt': string[] })['Fn::GetAtt'][0];
    const policies = Object.values(resources).filter(
      (resource) =>
        resource.Type === 'AWS::IAM::Policy' &&
        (resource.Properties.Roles as { Ref: string }[]).some(({ Ref }) => Ref === role),
    );
    all.set(
      String(Properties.FunctionName).replace('Ngbak-', ''),
      policies.flatMap((policy) => statementsOf(policy.Properties)),
    );
    const managed = resources[role ?? '']?.Properties.ManagedPolicyArns;
    if (managed !== undefined) throw new Error(`${role} has managed policies.`);
  }
  return all;
}

type Properties = Record<string, unknown>;

/** The statements of a policy resource. */
export function statementsOf(properties: Properties): Statement[] {
  const { Statement } = properties.PolicyDocument as { Statement: Properties[] };
  return Statement.map(({ Effect, Action, Resource, Condition }) => ({
    effect: String(Effect),
    actions: [Action].flat().map(String),
    resources: [Resource].flat().map(write),
    condition: Condition,
  }));
}

const PSEUDO: Record<string, string> = {
  'AWS::Partition': 'aws',
  'AWS::Region': 'eu-central-1',
  'AWS::AccountId': '111122223333',
};

/** A reference as short text: `<Bucket>/staging/*`, `<SecretsdefaultgraphABC>`. */
export function write(value: unknown): string {
  if (typeof value === 'string') return value;
  const reference = value as {
    Ref?: string;
    'Fn::GetAtt'?: [string, string];
    'Fn::Join'?: [string, unknown[]];
  };
  if (reference.Ref) return PSEUDO[reference.Ref] ?? `<${reference.Ref}>`;
  if (reference['Fn::GetAtt']) return `<${reference['Fn::GetAtt'][0]}>`;
  if (reference['Fn::Join']) return reference['Fn::Join'][1].map(write).join(reference['Fn::Join'][0]);
  throw new Error(`This test can't read ${JSON.stringify(value)}.`);
}
