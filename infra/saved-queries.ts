import { Stack } from 'aws-cdk-lib';
import { type ILogGroupRef, LogGroup, QueryDefinition, QueryString } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { handlersOf, type StepHandlers } from './step-handlers.ts';
import { logGroupName } from './workflows/state-machine.ts';

/** Log queries for operators, in the console under CloudWatch, Logs Insights, Saved queries: `<stack>/…`. */
export class SavedQueries extends Construct {
  constructor(scope: Construct, id: string, { handlers }: { readonly handlers: StepHandlers }) {
    super(scope, id);
    const workflows = (['Backup', 'Restore'] as const).map((workflow) =>
      LogGroup.fromLogGroupName(this, workflow, logGroupName(this, workflow)),
    );
    const functions = handlersOf(handlers).map(([, { logGroup }]) => logGroup);
    const query = (name: string, logGroups: readonly ILogGroupRef[], queryString: QueryString) =>
      new QueryDefinition(this, name.replaceAll(' ', '-'), {
        queryDefinitionName: `${Stack.of(this).stackName}/${name}`,
        queryString,
        logGroups: [...logGroups],
      });
    query(
      'Errors',
      functions,
      new QueryString({
        fields: ['@timestamp', 'service', 'job_id', 'error_name', 'message'],
        filterStatements: ['level = "ERROR"'],
        sort: '@timestamp desc',
        limit: 200,
      }),
    );
    query(
      'One job',
      functions,
      new QueryString({
        fields: ['@timestamp', 'service', 'level', 'message'],
        filterStatements: ['job_id = "put the id of the job here"'],
        sort: '@timestamp asc',
        limit: 1000,
      }),
    );
    query(
      'Time and memory of functions',
      functions,
      new QueryString({
        filterStatements: ['@type = "REPORT"'],
        statsStatements: [
          'count() as invocations, max(@duration) / 1000 as longest_seconds, max(@maxMemoryUsed) / 1000000 as most_memory_mb, max(@memorySize) / 1000000 as given_memory_mb by @log',
        ],
        sort: 'longest_seconds desc',
      }),
    );
    query(
      'Ends of executions',
      workflows,
      new QueryString({
        fields: ['@timestamp', 'type', 'execution_arn'],
        filterStatements: ['type like /^Execution(Succeeded|Failed|Aborted|TimedOut)$/'],
        sort: '@timestamp desc',
        limit: 200,
      }),
    );
    if (handlers.api) {
      query(
        'Who changed what',
        [handlers.api.logGroup],
        new QueryString({
          fields: [
            '@timestamp',
            'audit.who',
            'audit.role',
            'audit.method',
            'audit.path',
            'audit.status',
            'audit.from',
          ],
          filterStatements: ['message = "audit"'],
          sort: '@timestamp desc',
          limit: 500,
        }),
      );
    }
    query(
      'Backups deleted by retention',
      [handlers['apply-retention'].logGroup],
      new QueryString({
        fields: ['@timestamp', 'message', 'backup_id', 'reasons.0', 'error'],
        filterStatements: ['message like /^Backup (deleted|could not be deleted)$/'],
        sort: '@timestamp desc',
        limit: 500,
      }),
    );
  }
}
