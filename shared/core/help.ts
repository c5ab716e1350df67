/**
 * Entries of the documentation that errors link to: page and anchor, from the root of the repository.
 * test/core/help.test.ts checks that each entry exists and that an error links to it.
 */
export const HELP = {
  apiKey: 'docs/troubleshooting.md#api-key-refused',
  archivedObject: 'docs/troubleshooting.md#archive-in-glacier',
  clock: 'docs/troubleshooting.md#clock-wrong',
  configuration: 'docs/troubleshooting.md#configuration-not-valid',
  concurrency: 'docs/troubleshooting.md#no-concurrent-execution',
  damagedArchive: 'docs/runbook.md#an-archive-is-damaged',
  endpoint: 'docs/troubleshooting.md#endpoint-unreachable',
  fileSystem: 'docs/troubleshooting.md#file-system-unreachable',
  hook: 'docs/troubleshooting.md#hook-failed',
  keyUnusable: 'docs/runbook.md#a-key-is-disabled',
  memory: 'docs/troubleshooting.md#out-of-memory',
  networkInterfaces: 'docs/troubleshooting.md#network-interfaces-recreated',
  noPermission: 'docs/troubleshooting.md#no-permission',
  outOfTime: 'docs/troubleshooting.md#out-of-time',
  repackedTooLarge: 'docs/troubleshooting.md#repacked-archive-too-large',
  requests: 'docs/troubleshooting.md#too-many-requests',
  restoreNotClosed: 'docs/runbook.md#a-restore-was-never-cleaned-up',
  rollbackFailed: 'docs/runbook.md#a-rollback-failed',
  s3Silent: 'docs/troubleshooting.md#s3-does-not-answer',
  secret: 'docs/troubleshooting.md#secret-not-filled-in',
  selftestDiffers: 'docs/troubleshooting.md#selftest-differs',
  session: 'docs/troubleshooting.md#session-expired',
  signingKey: 'docs/runbook.md#the-signing-key-is-lost-or-disabled',
  subnets: 'docs/troubleshooting.md#no-free-address',
  targetInUse: 'docs/troubleshooting.md#target-in-use',
  targetLocked: 'docs/runbook.md#a-target-stays-locked',
  topicRegion: 'docs/troubleshooting.md#topic-in-another-region',
  uploadNotStarted: 'docs/troubleshooting.md#upload-not-started',
  webhook: 'docs/troubleshooting.md#message-not-delivered',
} as const;
export type Help = (typeof HELP)[keyof typeof HELP];

/** Errors that the platform reports under its own names, under which jobs record them. */
const OF_PLATFORM: Readonly<Record<string, Help>> = {
  'Lambda.ResourceNotReadyException': HELP.networkInterfaces,
  'Lambda.ResourceConflictException': HELP.networkInterfaces,
  'Lambda.ENINotReadyException': HELP.networkInterfaces,
  'Lambda.SubnetIPAddressLimitReachedException': HELP.subnets,
  'Lambda.ENILimitReachedException': HELP.subnets,
  'Lambda.EFSMountTimeoutException': HELP.fileSystem,
  'Lambda.EFSMountConnectivityException': HELP.fileSystem,
  'Lambda.EFSMountFailureException': HELP.fileSystem,
  'Lambda.TooManyRequestsException': HELP.concurrency,
  'Runtime.OutOfMemory': HELP.memory,
};

/**
 * The text of a job's error with its documentation entry, if the error's name has one and the text does not link to
 * it yet.
 */
export function withPlatformHelp(name: string, text: string): string {
  const help = OF_PLATFORM[name];
  return help === undefined || text.includes(help) ? text : `${text} ${seeAlso(help)}`;
}

/** `See docs/….md#….` */
export function seeAlso(help: string): string {
  return `See ${help}.`;
}
