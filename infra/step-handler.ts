import { Duration, RemovalPolicy, Size, Stack, Validations } from 'aws-cdk-lib';
import {
  type ISecurityGroup,
  type IVpc,
  SecurityGroup,
  Subnet,
  type SubnetSelection,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { HANDLER } from './bundle.ts';
import type { Network } from './config.ts';
import { type FunctionName, SIZES } from './functions.ts';
import { PROCESS_SETTINGS } from './process-settings.ts';
import { acceptWildcard } from './wildcards.ts';

/** Where functions run that reach the stores. */
export interface Placement {
  readonly vpc: IVpc;
  readonly vpcSubnets: SubnetSelection;
  readonly securityGroups: ISecurityGroup[];
}

/** The network, subnets and security groups of the configured ids, without looking anything up. */
export function placementOf(scope: Construct, { vpcId, subnetIds, securityGroupIds }: Network): Placement {
  Validations.of(scope).acknowledge({
    id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
    reason: 'Functions are placed by subnet ids alone; nothing here asks for a route table.',
  });
  return {
    // CDK wants zones; what is placed by subnet ids never asks for them.
    vpc: Vpc.fromVpcAttributes(scope, 'Vpc', { vpcId, availabilityZones: ['not asked for'] }),
    vpcSubnets: { subnets: subnetIds.map((id) => Subnet.fromSubnetId(scope, id, id)) },
    securityGroups: securityGroupIds.map((id) =>
      SecurityGroup.fromSecurityGroupId(scope, id, id, { mutable: false }),
    ),
  };
}

export interface StepHandlerProps {
  /** Name of the file in `functions/`. */
  readonly name: FunctionName;
  /** Folder of its bundle. */
  readonly bundle: string;
  readonly environment: Record<string, string>;
  readonly memoryMb: number;
  readonly logRetention: RetentionDays;
  /** @default - outside of any VPC */
  readonly placement?: Placement | undefined;
  /** @default - takes from the account's unreserved concurrency */
  readonly reservedConcurrency?: number | undefined;
}

/**
 * The Lambda function behind one step of a workflow: `functions/<name>.ts`, bundled, with a
 * role and a log group of its own. The role starts with the permission to write that log, and nothing else.
 */
export class StepHandler extends Construct {
  readonly function: LambdaFunction;
  readonly logGroup: LogGroup;
  readonly timeout: Duration;

  constructor(scope: Construct, id: string, props: StepHandlerProps) {
    super(scope, id);
    const functionName = `${Stack.of(this).stackName}-${props.name}`;
    const { timeoutMinutes, description } = SIZES[props.name];
    this.timeout = Duration.minutes(timeoutMinutes);
    this.logGroup = new LogGroup(this, 'Log', {
      logGroupName: `/aws/lambda/${functionName}`,
      retention: props.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    this.logGroup.grantWrite(role);
    if (props.placement) allowNetworkInterfaces(this, role);
    this.function = new LambdaFunction(this, 'Function', {
      functionName,
      description,
      code: Code.fromAsset(props.bundle),
      handler: HANDLER,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: props.memoryMb,
      timeout: this.timeout,
      ephemeralStorageSize: Size.mebibytes(512),
      role,
      logGroup: this.logGroup,
      environment: {
        ...PROCESS_SETTINGS,
        POWERTOOLS_SERVICE_NAME: props.name,
        POWERTOOLS_METRICS_NAMESPACE: metricsNamespace(this),
        ...props.environment,
      },
      ...(props.reservedConcurrency === undefined
        ? {}
        : { reservedConcurrentExecutions: props.reservedConcurrency }),
      ...(props.placement ?? {}),
    });
  }

  /** Adds a permission to the function's role. */
  allow(actions: string[], resources: string[], conditions?: Record<string, object>): void {
    this.function.addToRolePolicy(
      new PolicyStatement({ actions, resources, ...(conditions === undefined ? {} : { conditions }) }),
    );
  }
}

/** Namespace of the metrics of one deployment in CloudWatch: others in the same account have their own. */
export function metricsNamespace(scope: Construct): string {
  return `ngbak/${Stack.of(scope).stackName}`;
}

/** What Lambda needs to attach a function to a VPC. These actions accept no narrower resource than all. */
function allowNetworkInterfaces(scope: Construct, role: Role): void {
  acceptWildcard(scope, '*', 'EC2 knows no narrower resource for the network interfaces of a function.');
  role.addToPolicy(
    new PolicyStatement({
      actions: [
        'ec2:CreateNetworkInterface',
        'ec2:DeleteNetworkInterface',
        'ec2:DescribeNetworkInterfaces',
        'ec2:DescribeSubnets',
        'ec2:AssignPrivateIpAddresses',
        'ec2:UnassignPrivateIpAddresses',
      ],
      resources: ['*'],
    }),
  );
}
