import { ArnFormat, Duration, Fn, RemovalPolicy, Size, Stack, Validations } from 'aws-cdk-lib';
import {
  type ISecurityGroup,
  type IVpc,
  SecurityGroup,
  Subnet,
  type SubnetSelection,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { HANDLER } from './bundle.ts';
import type { DeploymentConfig, Network } from './config.ts';
import { type FunctionName, SIZES } from './functions.ts';
import { PROCESS_SETTINGS } from './process-settings.ts';
import { removalPolicyOf } from './removal.ts';
import { acceptWildcard } from './wildcards.ts';

/** The network of the functions that access the stores. */
export interface NetworkPlacement {
  readonly vpc: IVpc;
  readonly vpcSubnets: SubnetSelection;
  readonly securityGroups: ISecurityGroup[];
  readonly ipv6AllowedForDualStack: boolean;
  /** Environment variables of the functions in this network. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The configured network, subnets and security groups, by their ids, without lookups. */
export function placementOf(scope: Construct, network: Network): NetworkPlacement {
  const { vpcId, subnetIds, securityGroupIds, ipv6, dualStackEndpoints } = network;
  Validations.of(scope).acknowledge({
    id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
    reason: 'Functions are placed by subnet ids alone; nothing here asks for a route table.',
  });
  return {
    // CDK requires zones, but does not use them if subnets are selected by id.
    vpc: Vpc.fromVpcAttributes(scope, 'Vpc', { vpcId, availabilityZones: ['not asked for'] }),
    vpcSubnets: { subnets: subnetIds.map((id) => Subnet.fromSubnetId(scope, id, id)) },
    securityGroups: securityGroupIds.map((id) =>
      SecurityGroup.fromSecurityGroupId(scope, id, id, { mutable: false }),
    ),
    ipv6AllowedForDualStack: ipv6,
    environment: dualStackEndpoints ? { AWS_USE_DUALSTACK_ENDPOINT: 'true' } : {},
  };
}

const ARCHITECTURES = { arm64: Architecture.ARM_64, x86_64: Architecture.X86_64 } as const;
const RUNTIMES = { 22: Runtime.NODEJS_22_X, 24: Runtime.NODEJS_24_X } as const;

export interface StepHandlerProps {
  /** Name of the file in `functions/`. */
  readonly name: FunctionName;
  /** Folder of its bundle. */
  readonly bundle: string;
  readonly environment: Record<string, string>;
  readonly memoryMb: number;
  readonly deployment: Pick<
    DeploymentConfig,
    'architecture' | 'logRetentionDays' | 'nodeVersion' | 'removal'
  >;
  /** @default - outside of any VPC */
  readonly placement?: NetworkPlacement | undefined;
  /** @default - takes from the account's unreserved concurrency */
  readonly reservedConcurrency?: number | undefined;
}

/**
 * The Lambda function of one workflow step: `functions/<name>.ts`, bundled, with its own role and log group.
 * Initially, the role only permits writing to that log.
 */
export class StepHandler extends Construct {
  readonly function: LambdaFunction;
  readonly logGroup: LogGroup;
  readonly timeout: Duration;

  constructor(scope: Construct, id: string, props: StepHandlerProps) {
    super(scope, id);
    const functionName = `${Stack.of(this).stackName}-${props.name}`;
    const { deployment, placement } = props;
    const { timeoutMinutes, description } = SIZES[props.name];
    this.timeout = Duration.minutes(timeoutMinutes);
    // The log of the API is the audit log, and is kept as long as the archives. Its name has a suffix, so that an
    // existing log never makes a deployment fail.
    const audited = props.name === 'api';
    this.logGroup = new LogGroup(this, 'Log', {
      logGroupName: `/aws/lambda/${functionName}${audited ? `-${deploymentSuffix(this)}` : ''}`,
      retention: deployment.logRetentionDays as RetentionDays,
      removalPolicy: audited ? removalPolicyOf(deployment) : RemovalPolicy.DESTROY,
    });
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    this.logGroup.grantWrite(role);
    if (placement) allowNetworkInterfaces(this, role, functionName);
    this.function = new LambdaFunction(this, 'Function', {
      functionName,
      description,
      code: Code.fromAsset(props.bundle),
      handler: HANDLER,
      runtime: RUNTIMES[deployment.nodeVersion],
      architecture: ARCHITECTURES[deployment.architecture],
      memorySize: props.memoryMb,
      timeout: this.timeout,
      ephemeralStorageSize: Size.mebibytes(512),
      role,
      logGroup: this.logGroup,
      environment: {
        ...PROCESS_SETTINGS,
        POWERTOOLS_SERVICE_NAME: props.name,
        POWERTOOLS_METRICS_NAMESPACE: metricsNamespace(this),
        ...placement?.environment,
        ...props.environment,
      },
      ...(props.reservedConcurrency === undefined
        ? {}
        : { reservedConcurrentExecutions: props.reservedConcurrency }),
      ...(placement === undefined
        ? {}
        : {
            vpc: placement.vpc,
            vpcSubnets: placement.vpcSubnets,
            securityGroups: placement.securityGroups,
            ...(placement.ipv6AllowedForDualStack ? { ipv6AllowedForDualStack: true } : {}),
          }),
    });
  }

  /** Adds a permission to the function's role. */
  allow(actions: string[], resources: string[], conditions?: Record<string, object>): void {
    this.function.addToRolePolicy(
      new PolicyStatement({ actions, resources, ...(conditions === undefined ? {} : { conditions }) }),
    );
  }
}

/** Namespace of a deployment's metrics in CloudWatch: each deployment in an account has its own. */
export function metricsNamespace(scope: Construct): string {
  return `ngbak/${Stack.of(scope).stackName}`;
}

/** A few characters that are unique to a deployment, even among stacks of the same name: from the id of the stack. */
export function deploymentSuffix(scope: Construct): string {
  return Fn.select(0, Fn.split('-', Fn.select(2, Fn.split('/', Stack.of(scope).stackId))));
}

/**
 * The permissions that Lambda needs to attach a function to a VPC. These actions only support all resources; the
 * function's own code is denied them (Lambda developer guide, "Granting Lambda functions access to resources in a
 * VPC").
 */
function allowNetworkInterfaces(scope: Construct, role: Role, functionName: string): void {
  acceptWildcard(scope, '*', 'EC2 knows no narrower resource for the network interfaces of a function.');
  const actions = [
    'ec2:CreateNetworkInterface',
    'ec2:DeleteNetworkInterface',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeSubnets',
    'ec2:AssignPrivateIpAddresses',
    'ec2:UnassignPrivateIpAddresses',
  ];
  const own = Stack.of(scope).formatArn({
    service: 'lambda',
    resource: 'function',
    resourceName: functionName,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
  role.addToPolicy(new PolicyStatement({ actions, resources: ['*'] }));
  role.addToPolicy(
    new PolicyStatement({
      effect: Effect.DENY,
      actions,
      resources: ['*'],
      conditions: { ArnEquals: { 'lambda:SourceFunctionArn': own } },
    }),
  );
}
