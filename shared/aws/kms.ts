/** The part of the client of KMS that ngbak uses. Imported on demand, so that only functions that use a key load it. */
import { GetPublicKeyCommand, KMSClient, SignCommand } from '@aws-sdk/client-kms';
import { awsClient } from './clients.ts';

export function kmsClient(): KMSClient {
  return awsClient('kms', KMSClient);
}

/** Signs a SHA-256 digest with ECDSA. Returns the signature in DER. */
export async function signDigest(kms: KMSClient, KeyId: string, digest: Uint8Array): Promise<Uint8Array> {
  const command = new SignCommand({
    KeyId,
    Message: digest,
    MessageType: 'DIGEST',
    SigningAlgorithm: 'ECDSA_SHA_256',
  });
  return (await kms.send(command)).Signature ?? new Uint8Array();
}

/** The public key in DER (SubjectPublicKeyInfo). */
export async function getPublicKey(kms: KMSClient, KeyId: string): Promise<Uint8Array> {
  return (await kms.send(new GetPublicKeyCommand({ KeyId }))).PublicKey ?? new Uint8Array();
}
