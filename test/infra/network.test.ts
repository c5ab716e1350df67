import { describe, expect, test } from '@jest/globals';
import { SIZES } from '../../infra/functions.ts';
import { statementsOf, synthesize, write } from './template.ts';

/** All network settings in one deployment, since a synthesis takes seconds. */
const template = synthesize({
  targets: {
    default: {
      stores: { kv: { kind: 'redis' } },
      hooks: {
        pause: { url: 'https://10.0.0.7/pause', secret: 'team/webhook' },
        resume: { url: 'https://10.0.0.7/resume', secret: 'team/webhook' },
      },
    },
  },
  network: {
    vpcId: 'vpc-0a1b2c3d',
    subnetIds: ['subnet-0a1b2c3d'],
    securityGroupIds: ['sg-0a1b2c3d'],
    ipv6: true,
    dualStackEndpoints: true,
  },
  architecture: 'x86_64',
  nodeVersion: 22,
  api: { enabled: false },
});
const functions = Object.values(template.findResources('AWS::Lambda::Function')).map(({ Properties }) => ({
  ...Properties,
  name: String(Properties.FunctionName).replace('Ngbak-', ''),
}));
type Deployed = (typeof functions)[number] & { VpcConfig?: object; Environment?: { Variables: object } };

describe('in a network', () => {
  test('hooks are called from one place only, by backups, restores and the janitor alike', () => {
    const callers = functions.filter(({ name }) => 'callsHooks' in SIZES[name as keyof typeof SIZES]);
    expect(callers.map(({ name }) => name).sort()).toEqual(['begin-restore', 'janitor', 'plan-backup']);
    for (const caller of callers as Deployed[]) {
      expect(caller.VpcConfig).toMatchObject({
        SubnetIds: ['subnet-0a1b2c3d'],
        SecurityGroupIds: ['sg-0a1b2c3d'],
      });
    }
  });

  test('with IPv6, functions may use it and call AWS at dual-stack endpoints; those outside are unchanged', () => {
    for (const { VpcConfig, Environment } of functions as Deployed[]) {
      const variable = { AWS_USE_DUALSTACK_ENDPOINT: 'true' };
      if (VpcConfig === undefined) expect(Environment?.Variables).not.toMatchObject(variable);
      else
        expect([VpcConfig, Environment?.Variables]).toMatchObject([
          { Ipv6AllowedForDualStack: true },
          variable,
        ]);
    }
  });

  test("the code of a function may not use Lambda's permissions on network interfaces", () => {
    const policies = Object.values(template.findResources('AWS::IAM::Policy')).map(({ Properties }) =>
      statementsOf(Properties),
    );
    const placed = policies.filter((statements) =>
      statements.some(({ actions }) => actions.includes('ec2:CreateNetworkInterface')),
    );
    expect(placed).toHaveLength((functions as Deployed[]).filter(({ VpcConfig }) => VpcConfig).length);
    for (const statements of placed) {
      const denied = statements.find(({ effect }) => effect === 'Deny');
      const allowed = statements.find(
        ({ effect, actions }) => effect === 'Allow' && actions.includes('ec2:CreateNetworkInterface'),
      );
      expect(denied?.actions).toEqual(allowed?.actions);
      const condition = denied?.condition as { ArnEquals: Record<string, unknown> };
      expect(write(condition.ArnEquals['lambda:SourceFunctionArn'])).toMatch(
        /^arn:aws:lambda:eu-central-1:111122223333:function:Ngbak-[a-z-]+$/,
      );
    }
  });
});

test('in a region without arm64 or Node.js 24, functions use what the region offers', () => {
  for (const { Architectures, Runtime } of functions) {
    expect([Architectures, Runtime]).toEqual([['x86_64'], 'nodejs22.x']);
  }
});

test('without the API, its address, access list, function and log do not exist', () => {
  const text = JSON.stringify(template.toJSON());
  expect(functions.map(({ name }) => name)).not.toContain('api');
  expect(template.findResources('AWS::ApiGatewayV2::Api')).toEqual({});
  expect(text).not.toContain('Ngbak/api');
  expect(text).not.toContain('ApiUrl');
});

test('no partition is hard-coded: the same template works in China and GovCloud', () => {
  const text = JSON.stringify(template.toJSON().Resources);
  expect(text.match(/arn:aws(-cn|-us-gov)?:[a-z]/g) ?? []).toEqual([]);
});
