import { UnavailableError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';

/**
 * The one place where clients of AWS are made. By default, the SDK has no time-outs: an endpoint that drops packets, the
 * most common mistake of a first deployment in a VPC, would look like a hang for half an hour.
 */

/**
 * Longest that a connection may take, in milliseconds. The SDK tries three times, so that an endpoint that does not
 * answer at all is reported within 20 seconds. Shorter than any wait for an answer: which of both it was is reported.
 */
const CONNECT_MS = 4_000;

/**
 * What AWS calls a service in the names of its endpoints, with the name that people know, and the longest that an answer
 * may take, in milliseconds: until its headers are there, not its body.
 */
const SERVICES = {
  // A function that is invoked may run for 15 minutes: whoever invokes it says how long.
  lambda: { name: 'Lambda', answerMs: 0 },
  // A call may carry data. Those that copy gigabytes on S3's side say how long they may take.
  s3: { name: 'S3', answerMs: 60_000 },
  scheduler: { name: 'EventBridge Scheduler', answerMs: 20_000 },
  // Steps read secrets first of all: three tries end within 20 seconds.
  secretsmanager: { name: 'Secrets Manager', answerMs: 5_000 },
  states: { name: 'Step Functions', answerMs: 20_000 },
} as const;
type Service = keyof typeof SERVICES;

/** A client of a service with time-outs. It throws UnavailableError where no connection to the service is established. */
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

/** Turns the error of a connection that never came about into one that says which endpoint is missing. */
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

/** Codes of Node for a connection that the network did not establish. */
const UNREACHABLE = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT']);

/** By its fields: the SDK throws a plain error, and has no other sign for a connection that was not established. */
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
