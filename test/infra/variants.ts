/** A network, and a file system in it, of deployments whose stores are files in a folder. */
export const MOUNTED = {
  network: {
    vpcId: 'vpc-0a1b2c3d',
    subnetIds: ['subnet-0a1b2c3d'],
    securityGroupIds: ['sg-0a1b2c3d'],
  },
  fileSystem: {
    fileSystemId: 'fs-0a1b2c3d',
    accessPointArn: 'arn:aws:elasticfilesystem:eu-central-1:111122223333:access-point/fsap-0a1b2c3d4e5f60718',
    mountPath: '/mnt/graphrag',
  },
};

/** Deployments that together use every configuration key that changes the template. */
export const VARIANTS = {
  default: {},
  'an account with more than a new one': {
    exporterMemoryMb: 5308,
    reservedConcurrency: 2,
    api: { secret: 'Ngbak/api', reservedConcurrency: 5 },
    removal: 'destroy',
    alarms: { topicArns: ['arn:aws:sns:eu-central-1:111122223333:alarms'] },
    accessLogs: { bucket: 'the-log-bucket' },
    storageClass: 'STANDARD_IA',
    transitions: [
      { days: 30, storageClass: 'GLACIER_IR' },
      { days: 120, storageClass: 'DEEP_ARCHIVE' },
    ],
    thawPollSeconds: 60,
    allowedOrigins: ['https://ops.example.com'],
    tags: { team: 'search' },
  },
  'every kind of receiver': {
    notify: {
      emails: ['ops@example.com', 'ada@example.com'],
      topics: [
        'arn:aws:sns:eu-central-1:111122223333:on-call',
        {
          arn: 'arn:aws:sns:us-east-1:444455556666:other-team',
          keyArn: 'arn:aws:kms:us-east-1:444455556666:key/0a1b2c3d-0000-4000-8000-000000000000',
        },
      ],
      webhooks: {
        chat: { kind: 'slack' },
        team: { kind: 'teams', secret: 'team/teams-webhook' },
        pager: { kind: 'generic' },
      },
    },
  },
  'an existing bucket': {
    targets: {
      default: {
        stores: {
          graph: { kind: 'neo4j' },
          kv: {
            kind: 'postgres',
            databaseUsers: ['arn:aws:rds-db:eu-central-1:111122223333:dbuser:cluster-0A1B2C3D/ngbak'],
          },
        },
      },
    },
    signatures: { required: true },
    archiveBucket: {
      name: 'the-archive-bucket',
      keyArn: 'arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000000',
    },
  },
  'copies in other buckets': {
    verification: { perDay: 2 },
    copies: {
      vault: {
        bucket: 'the-vault-bucket',
        prefix: 'team/kb',
        region: 'eu-west-1',
        account: '444455556666',
        keyArn: 'arn:aws:kms:eu-west-1:444455556666:key/0a1b2c3d-0000-4000-8000-000000000000',
        lock: { mode: 'compliance', days: 90 },
        readRoleArn: 'arn:aws:iam::444455556666:role/ReadBackups',
      },
      near: { bucket: 'the-near-bucket', targets: ['default'] },
    },
  },
  'a network, hooks and files': {
    targets: {
      default: {
        stores: { kv: { kind: 'files', buckets: ['graphrag-files'] }, graph: { kind: 'neo4j' } },
        hooks: {
          pause: { lambda: 'arn:aws:lambda:eu-central-1:111122223333:function:pause-writers' },
          resume: { url: 'https://example.com/resume', secret: 'team/webhook' },
        },
      },
    },
    network: {
      vpcId: 'vpc-0a1b2c3d',
      subnetIds: ['subnet-0a1b2c3d', 'subnet-0a1b2c3e'],
      securityGroupIds: ['sg-0a1b2c3d'],
      ipv6: true,
      dualStackEndpoints: true,
    },
    fileSystem: {
      fileSystemId: 'fs-0a1b2c3d',
      accessPointArn:
        'arn:aws:elasticfilesystem:eu-central-1:111122223333:access-point/fsap-0a1b2c3d4e5f67890',
      mountPath: '/mnt/graphrag',
    },
    api: { enabled: false },
    schedule: { service: 'rules', time: '02:30' },
    architecture: 'x86_64',
    nodeVersion: 22,
  },
} as const;
