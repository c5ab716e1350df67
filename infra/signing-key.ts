import { CfnOutput } from 'aws-cdk-lib';
import { Key, KeySpec, KeyUsage } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import type { ArchiveBucket } from './archive-bucket.ts';
import type { DeploymentConfig } from './config.ts';
import type { FunctionSize } from './functions.ts';
import { removalPolicyOf } from './removal.ts';
import type { StepHandler } from './step-handler.ts';

/** The key that signs the manifests of archives (docs/adr/0018-signatures.md). The private key never leaves KMS. */
export class SigningKey extends Construct {
  readonly key: Key;

  constructor(scope: Construct, id: string, deployment: Pick<DeploymentConfig, 'removal'>) {
    super(scope, id);
    this.key = new Key(this, 'Key', {
      description: 'Signs the archives of ngbak',
      keySpec: KeySpec.ECC_NIST_P256,
      keyUsage: KeyUsage.SIGN_VERIFY,
      removalPolicy: removalPolicyOf(deployment),
    });
    new CfnOutput(scope, 'SigningKeyArn', {
      value: this.key.keyArn,
      description: 'Signs archives; `ngbak signing-key` prints its public key',
    });
  }

  /** Lets a function sign archives, or read the public key to check signatures. */
  grant(handler: StepHandler, use: NonNullable<FunctionSize['signatures']>, archive: ArchiveBucket): void {
    handler.function.addEnvironment('NGBAK_SIGNING_KEY_ARN', this.key.keyArn);
    const actions = use === 'sign' ? ['kms:Sign', 'kms:GetPublicKey'] : ['kms:GetPublicKey'];
    handler.allow(actions, [this.key.keyArn]);
    // The manifest is read from the archive.
    if (use === 'sign') archive.grant(handler, { read: ['backups/*.ngbak'], write: ['backups/*.ngbak.sig'] });
  }
}
