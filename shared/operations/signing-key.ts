import { z } from 'zod';
import { fingerprintOf } from '../archive/format/signature.ts';
import { NotFoundError } from '../core/refusals.ts';
import type { OperationsContext } from './context.ts';

/** The key with which a deployment signs its archives. */
export const SigningKeyView = z.object({
  /** ARN of the key in KMS. */
  key_id: z.string(),
  algorithm: z.literal('ECDSA_SHA_256'),
  /** In PEM, for `openssl dgst -verify` and for "trustedKeys" of other deployments. */
  public_key: z.string(),
  /** `sha256:` and the SHA-256 of the public key in DER. */
  fingerprint: z.string(),
  /** Fingerprints of further keys whose signatures are valid. Empty if they are not known to the caller. */
  trusted: z.array(z.string()),
});
export type SigningKeyView = z.infer<typeof SigningKeyView>;

/** The public key of the deployment. Throws NotFoundError if it does not sign archives. */
export async function showSigningKey({ signatureKeys }: OperationsContext): Promise<SigningKeyView> {
  const { own, trusted = [] } = signatureKeys ?? {};
  if (own === undefined) {
    throw new NotFoundError('This deployment does not sign archives.', {
      remedy: 'Add "signatures": {} to cdk.json and deploy: docs/deploy.md.',
    });
  }
  const key = await own.publicKey();
  return {
    key_id: own.arn,
    algorithm: 'ECDSA_SHA_256',
    public_key: key.export({ type: 'spki', format: 'pem' }).toString(),
    fingerprint: fingerprintOf(key),
    trusted: trusted.map(fingerprintOf),
  };
}
