import {
  ConflictException,
  CreateScheduleCommand,
  type CreateScheduleCommandInput,
  DeleteScheduleCommand,
  GetScheduleCommand,
  ListSchedulesCommand,
  type ListSchedulesCommandOutput,
  ResourceNotFoundException,
  SchedulerClient,
  ServiceQuotaExceededException,
  UpdateScheduleCommand,
  ValidationException,
} from '@aws-sdk/client-scheduler';
import { awsClient } from '../aws/clients.ts';
import { describeError, InvalidInputError } from '../core/errors.ts';
import { parseInput } from '../core/input.ts';
import { mapOrdered } from '../core/ordered.ts';
import { NotFoundError, noSuchSchedule, RefusedError } from '../core/refusals.ts';
import { Schedule, type ScheduledWork, type ScheduleSettings, workOf } from './schedule.ts';
import { RETRY, readScheduledRequest, scheduledBackup, scheduledDrill } from './target.ts';

/** Schedules read concurrently. EventBridge Scheduler allows far more calls per second than these cause. */
const READS_AT_ONCE = 10;

/** The result for a schedule, or the reason why it cannot be read. */
export type ReadSchedule<T> =
  | { readonly name: string; readonly found: T; readonly problem?: undefined }
  | { readonly name: string; readonly found?: undefined; readonly problem: string };

/** Location of the schedules of a deployment. */
export interface ScheduleGroup {
  /** Name of the schedule group in EventBridge Scheduler. */
  readonly group: string;
  /** ARN of the role with which Scheduler starts backups and drills. */
  readonly roleArn: string;
}

/** ARNs of the workflows that schedules start. */
export interface ScheduledWorkflows {
  /** Runs backups. */
  readonly backup: string;
  /** Runs drills. */
  readonly restore: string;
}

/** The schedules of one deployment, stored in its schedule group in EventBridge Scheduler. */
export class Scheduler {
  readonly #client: SchedulerClient;
  readonly #where: ScheduleGroup;
  readonly #workflows: ScheduledWorkflows;

  constructor(
    where: ScheduleGroup,
    workflows: ScheduledWorkflows,
    client: SchedulerClient = awsClient('scheduler', SchedulerClient),
  ) {
    this.#where = where;
    this.#workflows = workflows;
    this.#client = client;
  }

  /** The names of all schedules, in AWS's order. */
  async *names(): AsyncGenerator<string> {
    let token: string | undefined;
    do {
      const page: ListSchedulesCommandOutput = await this.#explained(
        this.#client.send(new ListSchedulesCommand({ GroupName: this.#where.group, NextToken: token })),
      );
      for (const { Name } of page.Schedules ?? []) if (Name !== undefined) yield Name;
      token = page.NextToken;
    } while (token !== undefined);
  }

  /**
   * The result of `look` for every schedule, or the reason why one cannot be read. Schedules that are removed in the
   * meantime are omitted. In AWS's order; several are read concurrently.
   */
  async *each<T>(look: (schedule: Schedule) => Promise<T>): AsyncGenerator<ReadSchedule<T>> {
    const read = async (name: string): Promise<ReadSchedule<T> | undefined> => {
      try {
        return { name, found: await look(await this.get(name)) };
      } catch (error) {
        if (error instanceof NotFoundError) return undefined;
        // One schedule that was changed manually must not hide the others.
        if (!(error instanceof InvalidInputError)) throw error;
        return { name, problem: describeError(error) };
      }
    };
    for await (const result of mapOrdered(this.names(), READS_AT_ONCE, read)) if (result) yield result;
  }

  /**
   * Reads one schedule. Throws NotFoundError; InvalidInputError if its target was changed by other means than ngbak.
   */
  async get(name: string): Promise<Schedule> {
    const found = await this.#explained(
      this.#client.send(new GetScheduleCommand({ GroupName: this.#where.group, Name: name })),
      name,
    );
    const { work, madeBy } = readScheduledRequest(name, found.Target?.Input);
    return parseInput(
      Schedule,
      {
        name,
        kind: work.drill ? 'drill' : 'backup',
        expression: found.ScheduleExpression,
        time_zone: found.ScheduleExpressionTimezone ?? 'UTC',
        flexible_minutes: found.FlexibleTimeWindow?.MaximumWindowInMinutes ?? 0,
        enabled: found.State !== 'DISABLED',
        description: found.Description ?? '',
        ...work,
        made_by: madeBy,
        created_at: (found.CreationDate ?? new Date(0)).toISOString(),
        changed_at: (found.LastModificationDate ?? found.CreationDate ?? new Date(0)).toISOString(),
      },
      `Schedule "${name}"`,
      'It was changed outside of ngbak. Delete it in EventBridge Scheduler and create it again.',
    );
  }

  /** Throws RefusedError, and changes nothing, if a schedule of that name exists. */
  async create(name: string, settings: ScheduleSettings, madeBy: string): Promise<void> {
    await this.#explained(
      this.#client.send(new CreateScheduleCommand(this.#request(name, settings, madeBy))),
      name,
    );
  }

  /** Replaces all settings of a schedule. Throws NotFoundError. */
  async update(name: string, settings: ScheduleSettings, madeBy: string | undefined): Promise<void> {
    await this.#explained(
      this.#client.send(new UpdateScheduleCommand(this.#request(name, settings, madeBy))),
      name,
    );
  }

  /** Throws NotFoundError. */
  async remove(name: string): Promise<void> {
    await this.#explained(
      this.#client.send(new DeleteScheduleCommand({ GroupName: this.#where.group, Name: name })),
      name,
    );
  }

  #request(name: string, settings: ScheduleSettings, madeBy: string | undefined): CreateScheduleCommandInput {
    const { flexible_minutes } = settings;
    return {
      GroupName: this.#where.group,
      Name: name,
      ScheduleExpression: settings.expression,
      ScheduleExpressionTimezone: settings.time_zone,
      FlexibleTimeWindow:
        flexible_minutes === 0
          ? { Mode: 'OFF' }
          : { Mode: 'FLEXIBLE', MaximumWindowInMinutes: flexible_minutes },
      State: settings.enabled ? 'ENABLED' : 'DISABLED',
      Description: settings.description,
      // A schedule without future runs stays in the list, with its results, until it is removed.
      ActionAfterCompletion: 'NONE',
      Target: {
        ...this.#started(name, workOf(settings), madeBy),
        RoleArn: this.#where.roleArn,
        RetryPolicy: { MaximumRetryAttempts: RETRY.attempts, MaximumEventAgeInSeconds: RETRY.seconds },
      },
    };
  }

  /** The workflow that a schedule starts, and its input. */
  #started(name: string, work: ScheduledWork, madeBy: string | undefined): { Arn: string; Input: string } {
    const { backup, restore } = this.#workflows;
    return work.drill
      ? { Arn: restore, Input: JSON.stringify(scheduledDrill(name, work.drill, madeBy)) }
      : { Arn: backup, Input: JSON.stringify(scheduledBackup(name, work.backup, madeBy)) };
  }

  async #explained<T>(call: Promise<T>, name?: string): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw this.#explain(error, name);
    }
  }

  #explain(error: unknown, name?: string): unknown {
    if (error instanceof ResourceNotFoundException) {
      return name === undefined || /^Schedule ?group/i.test(error.message)
        ? new InvalidInputError(`There is no schedule group "${this.#where.group}".`, {
            remedy: 'Deploy the stack, which creates the group. Or correct NGBAK_SCHEDULE_GROUP.',
            cause: error,
          })
        : noSuchSchedule(name);
    }
    if (error instanceof ConflictException) {
      return new RefusedError(`There is already a schedule "${name}".`, {
        remedy: 'Change it with `ngbak schedule change`, or choose another name.',
        cause: error,
      });
    }
    if (error instanceof ValidationException) {
      return new InvalidInputError(`EventBridge Scheduler rejected schedule "${name}": ${error.message}`, {
        remedy: 'Correct the expression; docs/schedules.md has examples.',
        cause: error,
      });
    }
    if (error instanceof ServiceQuotaExceededException) {
      return new InvalidInputError('The account has reached its quota of schedules.', {
        remedy: 'Remove some, or request a higher quota for EventBridge Scheduler.',
        cause: error,
      });
    }
    return error;
  }
}
