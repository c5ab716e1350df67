import { generateKeyPairSync } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { readDeployment, runtimeConfig } from '../../infra/config.ts';
import { DEPLOYMENT, permissions, statementsOf, synthesize } from './template.ts';

const ofKey = (resources: readonly string[]) =>
  resources.some((resource) => resource.startsWith('<SigningKey'));

test('without "signatures", there is no signing key, and no function uses one', () => {
  const text = JSON.stringify(synthesize().toJSON());
  expect(text).not.toContain('ECC_NIST_P256');
  expect(text).not.toContain('SIGNING_KEY');
  expect(text).not.toMatch(/kms:(Sign|GetPublicKey)/);
});

test('one function may sign, and those that check signatures may read the public key', () => {
  const template = synthesize({ signatures: {} });
  template.hasResourceProperties('AWS::KMS::Key', { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' });
  expect(Object.keys(template.findOutputs('SigningKeyArn'))).toHaveLength(1);
  const granted = [...permissions(template)].flatMap(([name, statements]) =>
    statements.flatMap(({ actions, resources }) => (ofKey(resources) ? [[name, [...actions].sort()]] : [])),
  );
  expect(Object.fromEntries(granted)).toEqual({
    'catalog-backup': ['kms:GetPublicKey', 'kms:Sign'],
    'inspect-restore': ['kms:GetPublicKey'],
    'plan-backup': ['kms:GetPublicKey'],
    api: ['kms:GetPublicKey'],
  });
  const operators = Object.values(template.findResources('AWS::IAM::ManagedPolicy')).flatMap(
    ({ Properties }) => statementsOf(Properties),
  );
  expect(operators.filter(({ resources }) => ofKey(resources)).map(({ actions }) => actions)).toEqual([
    ['kms:GetPublicKey'],
  ]);
  const known = Object.values(template.findResources('AWS::Lambda::Function'))
    .filter(({ Properties }) => Properties.Environment.Variables.NGBAK_SIGNING_KEY_ARN !== undefined)
    .map(({ Properties }) => String(Properties.FunctionName).replace('Ngbak-', ''));
  expect(known.sort()).toEqual(['api', 'catalog-backup', 'inspect-restore', 'plan-backup']);
});

test('only the function that signs writes signatures, and it cannot write archives', () => {
  const granted = permissions(synthesize({ signatures: {} }));
  const writers = [...granted].flatMap(([name, statements]) =>
    statements.some(
      ({ actions, resources }) =>
        actions.includes('s3:PutObject') &&
        resources.some((resource) => resource.endsWith('>/backups/*.ngbak.sig')),
    )
      ? [name]
      : [],
  );
  expect(writers).toEqual(['catalog-backup']);
  const written = (granted.get('catalog-backup') ?? [])
    .filter(({ actions }) => actions.includes('s3:PutObject'))
    .flatMap(({ resources }) => resources.map((resource) => resource.split('>/')[1]));
  expect(written.sort()).toEqual(['backups/*.json', 'backups/*.ngbak.sig']);
});

test('trusted keys reach the functions, and anything but a public key of P-256 is refused', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const deployment = readDeployment({ ...DEPLOYMENT, signatures: { trustedKeys: [pem] } });
  expect(runtimeConfig(deployment, () => 'secret').signatures).toEqual({
    required: false,
    trusted_keys: [pem],
  });
  const secret = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  for (const [key, problem] of [
    [secret, 'is not a public key in PEM'],
    ['AAAA', 'is not a public key in PEM'],
  ] as const) {
    const read = () => readDeployment({ ...DEPLOYMENT, signatures: { trustedKeys: [pem, key] } });
    expect(read).toThrow(`ngbak.signatures.trustedKeys.1 ${problem}`);
    expect(read).not.toThrow(secret);
  }
});
