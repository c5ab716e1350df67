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

/** Where functions run that reach the stores. */
export interface NetworkPlacement {
  readonly vpc: IVpc;
  readonly vpcSubnets: SubnetSelection;
  readonly securityGroups: ISecurityGroup[];
  readonly ipv6AllowedForDualStack: boolean;
  /** For the functions that run there. */
  readonly environment: Readonly<Record<string, string>>;
}

/** The network, subnets and security groups of the configured ids, without looking anything up. */
export function placementOf(scope: Construct, network: Network): NetworkPlacement {
  const { vpcId, subnetIds, securityGroupIds, ipv6, dualStackEndpoints } = network;
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
    const { deployment, placement } = props;
    const { timeoutMinutes, description } = SIZES[props.name];
    this.timeout = Duration.minutes(timeoutMinutes);
    // The log of the API says who changed what, and stays as long as the archives do. Its name has a suffix, so that
    // a log that is there already is never in the way of a deployment.
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

/** Namespace of the metrics of one deployment in CloudWatch: others in the same account have their own. */
export function metricsNamespace(scope: Construct): string {
  return `ngbak/${Stack.of(scope).stackName}`;
}

/** A few characters that no other deployment has, also of a stack of the same name: from the id of the stack. */
export function deploymentSuffix(scope: Construct): string {
  return Fn.select(0, Fn.split('-', Fn.select(2, Fn.split('/', Stack.of(scope).stackId))));
}

/**
 * What Lambda needs to attach a function to a VPC. These actions accept no narrower resource than all; the function's
 * own code is denied them (Lambda developer guide, "Granting Lambda functions access to resources in a VPC").
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
