import { beforeAll, describe, expect, test } from '@jest/globals';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { statementsOf, synthesize } from './template.ts';

let template: Template;

beforeAll(() => {
  template = synthesize();
});

const bucket = (properties: object, of = template) => of.hasResourceProperties('AWS::S3::Bucket', properties);

describe('the archive bucket', () => {
  test('is the only bucket, and is retained when the stack is deleted', () => {
    template.resourceCountIs('AWS::S3::Bucket', 1);
    for (const type of ['AWS::S3::Bucket', 'AWS::KMS::Key', 'AWS::SecretsManager::Secret']) {
      template.allResources(type, { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' });
    }
  });

  test('is deleted with the stack on request', () => {
    const passing = synthesize({ removal: 'destroy' });
    passing.hasResource('AWS::S3::Bucket', { DeletionPolicy: 'Delete' });
    passing.hasResource('AWS::KMS::Key', { DeletionPolicy: 'Delete' });
  });

  test('is closed to the public, belongs to its owner and keeps versions', () => {
    bucket({
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
      VersioningConfiguration: { Status: 'Enabled' },
    });
  });

  test('is encrypted with a rotated key of the stack, with a bucket key', () => {
    bucket({
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          {
            BucketKeyEnabled: true,
            ServerSideEncryptionByDefault: {
              SSEAlgorithm: 'aws:kms',
              KMSMasterKeyID: { 'Fn::GetAtt': [Match.stringLikeRegexp('ArchiveKey'), 'Arn'] },
            },
          },
        ],
      },
    });
    template.hasResourceProperties('AWS::KMS::Key', { EnableKeyRotation: true });
  });

  test('refuses every request without TLS 1.2 or later', () => {
    const everybody = { Effect: 'Deny', Principal: { AWS: '*' }, Action: 's3:*' };
    template.hasResourceProperties('AWS::S3::BucketPolicy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({ ...everybody, Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
          Match.objectLike({ ...everybody, Condition: { NumericLessThan: { 's3:TlsVersion': 1.2 } } }),
        ]),
      },
    });
  });

  test('notifies EventBridge of uploads', () => {
    bucket({ NotificationConfiguration: { EventBridgeConfiguration: { EventBridgeEnabled: true } } });
    expect(JSON.stringify(template.toJSON())).not.toContain('Custom::S3BucketNotifications');
  });

  test('never expires what a workflow may still need: staging, uploads and parts outlive the longest one', () => {
    const rule = (Id: string, rest: object) => Match.objectLike({ Id, Status: 'Enabled', ...rest });
    const one = { NoncurrentVersionExpiration: { NoncurrentDays: 1 } };
    bucket({
      LifecycleConfiguration: {
        Rules: [
          rule('staging', { Prefix: 'staging/', ExpirationInDays: 8, ...one }),
          rule('uploads', { Prefix: 'uploads/', ExpirationInDays: 8, ...one }),
          rule('jobs', { Prefix: 'jobs/', ExpirationInDays: 90, ...one }),
          rule('deferred', { Prefix: 'deferred/', ExpirationInDays: 90, ...one }),
          rule('runs', { Prefix: 'runs/', ExpirationInDays: 90, ...one }),
          rule('notifications', { Prefix: 'notifications/', ExpirationInDays: 90, ...one }),
          rule('cache', { Prefix: 'cache/', ExpirationInDays: 8, ...one }),
          rule('selftest', { Prefix: 'selftest/', ExpirationInDays: 1, ...one }),
          rule('locks', { Prefix: 'locks/', ExpirationInDays: Match.absent(), ...one }),
          rule('deleted-backups', { Prefix: 'backups/', ExpirationInDays: Match.absent() }),
          rule('unfinished-multipart-uploads', {
            Prefix: Match.absent(),
            AbortIncompleteMultipartUpload: { DaysAfterInitiation: 8 },
          }),
        ],
      },
    });
    template.hasResourceProperties('AWS::StepFunctions::StateMachine', {
      DefinitionString: {
        'Fn::Join': ['', Match.arrayWith([Match.stringLikeRegexp('"TimeoutSeconds":604800')])],
      },
    });
  });

  test('allows web pages only from its own dashboard and from configured origins', () => {
    const own = Match.objectLike({ AllowedOrigins: [{ 'Fn::GetAtt': [Match.anyValue(), 'ApiEndpoint'] }] });
    bucket({ CorsConfiguration: { CorsRules: [own] } });
    bucket(
      {
        CorsConfiguration: {
          CorsRules: [Match.objectLike({ AllowedOrigins: ['https://ops.example.com'] }), own],
        },
      },
      synthesize({ allowedOrigins: ['https://ops.example.com'] }),
    );
  });

  test('writes access logs if a bucket for them is configured', () => {
    bucket({ LoggingConfiguration: Match.absent() });
    bucket(
      { LoggingConfiguration: { DestinationBucketName: 'central-logs', LogFilePrefix: 'ngbak/' } },
      synthesize({ accessLogs: { bucket: 'central-logs' } }),
    );
  });
});

describe('an existing bucket', () => {
  const existing = (keyArn?: string) =>
    synthesize({ archiveBucket: { name: 'the-archive-bucket', ...(keyArn ? { keyArn } : {}) } });
  const KEY_ARN = 'arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000000';

  test('replaces the bucket and the key of the stack, which changes neither', () => {
    const template = existing(KEY_ARN);
    for (const type of ['AWS::S3::Bucket', 'AWS::S3::BucketPolicy', 'AWS::KMS::Key'])
      template.resourceCountIs(type, 0);
    template.hasOutput('BucketName', { Value: 'the-archive-bucket' });
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: { detail: { bucket: { name: ['the-archive-bucket'] } } },
    });
    for (const { Properties } of Object.values(template.findResources('AWS::Lambda::Function'))) {
      expect(Properties.Environment.Variables.NGBAK_BUCKET).toBe('the-archive-bucket');
    }
  });

  test('and its key are the only ones that roles and operators may use', () => {
    const text = JSON.stringify(existing(KEY_ARN).toJSON());
    expect(text).toContain(
      `"Action":["kms:Decrypt","kms:GenerateDataKey"],"Effect":"Allow","Resource":"${KEY_ARN}"`,
    );
    expect(JSON.stringify(existing().toJSON())).not.toContain('"kms:');
  });

  test('with a prefix is used below it: by every role, by operators, and by the rule that starts restores', () => {
    const template = synthesize({
      archiveBucket: { name: 'the-archive-bucket', prefix: 'team/ngbak/', keyArn: KEY_ARN },
      objectLock: { mode: 'governance', days: 1 },
      // Neither reads a store, so that the roles have no S3 permissions other than for the archive bucket.
      targets: { default: { stores: { kv: { kind: 'redis' } } } },
    });
    template.hasOutput('BucketName', { Value: 'the-archive-bucket' });
    template.hasOutput('BucketPrefix', { Value: 'team/ngbak/' });
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: {
        detail: {
          bucket: { name: ['the-archive-bucket'] },
          object: { key: [{ prefix: 'team/ngbak/uploads/' }] },
        },
      },
    });
    for (const { Properties } of Object.values(template.findResources('AWS::Lambda::Function'))) {
      expect(Properties.Environment.Variables.NGBAK_BUCKET).toBe('the-archive-bucket/team/ngbak');
    }
    const policies = ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy'].flatMap((type) =>
      Object.values(template.findResources(type)).flatMap(({ Properties }) => statementsOf(Properties)),
    );
    const ofS3 = policies.filter(({ actions }) => actions.some((action) => action.startsWith('s3:')));
    expect(ofS3.length).toBeGreaterThan(40);
    for (const { actions, resources, condition } of ofS3) {
      for (const resource of resources) {
        const [, key] = /^arn:aws:s3:::the-archive-bucket(?:\/(.*))?$/.exec(resource) ?? ['', 'elsewhere'];
        if (key !== undefined) expect(key).toMatch(/^team\/ngbak\//);
        // S3 has no condition for listing uploads: names of unfinished ones, which the janitor reads.
        else if (actions.includes('s3:ListBucketMultipartUploads')) expect(actions).toHaveLength(1);
        else
          expect(prefixesOf(condition)).toEqual(
            expect.arrayContaining([expect.stringMatching(/^team\/ngbak\//)]),
          );
      }
      for (const prefix of prefixesOf(condition)) expect(prefix).toMatch(/^team\/ngbak\//);
    }
  });

  test.each(['../other', 'team//x', 'team/*', 'team/uploads', 'staging'])(
    'refuses the prefix "%s"',
    (prefix) => {
      expect(() => synthesize({ archiveBucket: { name: 'the-archive-bucket', prefix } })).toThrow(
        /archiveBucket\.prefix: must/,
      );
    },
  );

  test('has its own access logs', () => {
    expect(() =>
      synthesize({ archiveBucket: { name: 'the-archive-bucket' }, accessLogs: { bucket: 'logs' } }),
    ).toThrow(/accessLogs is for the bucket of the stack/);
  });
});

/** The prefixes that a statement allows to list. */
function prefixesOf(condition: unknown): string[] {
  const { StringLike } = (condition ?? {}) as { StringLike?: { 's3:prefix'?: string | string[] } };
  return [StringLike?.['s3:prefix'] ?? []].flat();
}

describe('Object Lock', () => {
  const locking = (template: Template) =>
    Object.entries(template.findResources('AWS::IAM::Policy'))
      .filter(([, policy]) => JSON.stringify(policy).includes('s3:PutObjectRetention'))
      .map(([id]) => id);

  test('is enabled without a default retention, and one function may lock objects of backups alone', () => {
    const template = synthesize({ objectLock: { mode: 'compliance', days: 30 } });
    template.hasResourceProperties('AWS::S3::Bucket', {
      ObjectLockEnabled: true,
      ObjectLockConfiguration: Match.absent(),
    });
    expect(locking(template)).toEqual([expect.stringContaining('catalogbackup')]);
    const text = JSON.stringify(template.toJSON());
    expect(text).toMatch(/"s3:PutObjectRetention","Effect":"Allow","Resource":\{[^}]*\}?,"\/backups\/\*"/);
    for (const bypass of ['BypassGovernanceRetention', 'PutObjectLegalHold', 'PutBucketObjectLock'])
      expect(text).not.toContain(bypass);
  });

  test('is off by default, and no role may lock', () => {
    const template = synthesize();
    template.hasResourceProperties('AWS::S3::Bucket', { ObjectLockEnabled: Match.absent() });
    expect(locking(template)).toEqual([]);
  });
});

describe('storage classes', () => {
  const tagging = (template: Template) =>
    Object.entries(template.findResources('AWS::IAM::Policy'))
      .filter(([, policy]) => JSON.stringify(policy).includes('ObjectTagging'))
      .map(([id]) => id);
  const transitions = [
    { days: 30, storageClass: 'STANDARD_IA' },
    { days: 90, storageClass: 'DEEP_ARCHIVE' },
  ];

  test('are changed by a rule that selects catalogued archives by their tag, never records', () => {
    const template = synthesize({ transitions });
    template.hasResourceProperties('AWS::S3::Bucket', {
      LifecycleConfiguration: {
        Rules: Match.arrayWith([
          {
            Id: 'storage-classes',
            Status: 'Enabled',
            Prefix: 'backups/',
            TagFilters: [{ Key: 'ngbak', Value: 'catalogued' }],
            Transitions: [
              { TransitionInDays: 30, StorageClass: 'STANDARD_IA' },
              { TransitionInDays: 90, StorageClass: 'DEEP_ARCHIVE' },
            ],
          },
        ]),
      },
    });
    const moving = JSON.stringify(template.findResources('AWS::S3::Bucket')).match(/"Transitions"/g);
    expect(moving).toHaveLength(1);
  });

  test('need a permission to tag archives, which one function has, and none without transitions', () => {
    const template = synthesize({ transitions });
    expect(tagging(template)).toEqual([expect.stringContaining('catalogbackup')]);
    expect(JSON.stringify(template.toJSON())).toMatch(
      /"s3:PutObjectTagging","s3:PutObjectVersionTagging"\],"Effect":"Allow","Resource":\{[^}]*\}?,"\/backups\/\*\.ngbak"/,
    );
    expect(tagging(synthesize({ storageClass: 'GLACIER_IR' }))).toEqual([]);
  });
});
