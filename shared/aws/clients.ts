import { UnavailableError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';

/**
 * The only place that creates AWS clients. The SDK has no timeouts by default: an endpoint that drops packets, the
 * most common mistake in a first deployment in a VPC, would look like a hang for half an hour.
 */

/**
 * Connection timeout, in milliseconds. The SDK makes three attempts, so an endpoint that does not answer at all is
 * reported within 20 seconds. Shorter than any response timeout, so that the two can be told apart.
 */
const CONNECT_MS = 4_000;

/**
 * Services by the name that AWS uses in their endpoints, each with its display name and its response timeout in
 * milliseconds, which ends when the headers arrive and not with the body.
 */
const SERVICES = {
  kms: { name: 'KMS', answerMs: 20_000 },
  // An invoked function may run for 15 minutes: its callers set the timeout.
  lambda: { name: 'Lambda', answerMs: 0 },
  // A call may carry data. Calls that copy gigabytes within S3 set their own timeout.
  s3: { name: 'S3', answerMs: 60_000 },
  scheduler: { name: 'EventBridge Scheduler', answerMs: 20_000 },
  // Steps read secrets first: three attempts end within 20 seconds.
  secretsmanager: { name: 'Secrets Manager', answerMs: 5_000 },
  sns: { name: 'SNS', answerMs: 10_000 },
  states: { name: 'Step Functions', answerMs: 20_000 },
  sts: { name: 'STS', answerMs: 10_000 },
} as const;
type Service = keyof typeof SERVICES;

/** A client of a service, with timeouts. It throws UnavailableError if no connection to the service is established. */
export function awsClient<Client, Config extends object>(
  service: Service,
  Client: new (config: Config) => Client,
  config?: Omit<Config, 'requestHandler'>,
): Client {
  const requestHandler = {
    connectionTimeout: CONNECT_MS,
    requestTimeout: SERVICES[service].answerMs,
    throwOnRequestTimeout: true,
  };
  return reportSilence(service, new Client({ ...config, requestHandler } as unknown as Config));
}

type Call = (args: { request?: unknown }) => Promise<never>;
interface Client {
  readonly middlewareStack: {
    add(middleware: (next: Call) => Call, options: { step: 'build'; name: string }): void;
  };
}

/** Replaces the error of a connection that was never established by one that names the missing endpoint. */
function reportSilence<C>(service: Service, client: C): C {
  (client as Client).middlewareStack.add(
    (next) => async (args) => {
      try {
        return await next(args);
      } catch (error) {
        throw isUnconnected(error) ? silenceOf(service, hostOf(args.request), error) : error;
      }
    },
    { step: 'build', name: 'ngbakReportSilence' },
  );
  return client;
}

/** Node's error codes for a connection that the network did not establish. */
const UNREACHABLE = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT']);

/** Checks the fields: the SDK throws a plain error, and nothing else shows that a connection was not established. */
function isUnconnected(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if (Reflect.get(error, 'syscall') === 'connect' && UNREACHABLE.has(String(Reflect.get(error, 'code'))))
    return true;
  return (
    Reflect.get(error, 'name') === 'TimeoutError' &&
    String(Reflect.get(error, 'message')).includes('did not establish a connection')
  );
}

function hostOf(request: unknown): string {
  const host = typeof request === 'object' && request !== null ? Reflect.get(request, 'hostname') : undefined;
  return typeof host === 'string' ? host : 'its endpoint';
}

function silenceOf(service: Service, host: string, cause: unknown): UnavailableError {
  const kind =
    service === 's3'
      ? 'a gateway endpoint for S3 in the route tables of its subnets'
      : `an interface endpoint for "${service}" whose security group allows port 443 from the functions`;
  return new UnavailableError(
    `${SERVICES[service].name} can't be reached at ${host}: no connection was established.`,
    {
      remedy: `A function in a VPC needs ${kind}, or a NAT gateway; its own security group must allow outbound port 443. docs/deploy.md, "Network", lists all endpoints.`,
      help: HELP.endpoint,
      cause,
    },
  );
}
