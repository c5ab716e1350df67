import { z } from 'zod';

/** The DER encoding of an ECDSA signature with P-256 has at most 72 bytes; base64 makes four characters of three. */
export const SIGNATURE_BYTES_MAX = 150;

/** A signature as it is sent and recorded: its DER bytes in base64. */
export const SignatureText = z.base64().min(1).max(200);

/** The signature of an archive in its catalog record. */
export const ArchiveSignature = z.object({
  /** ARN of the KMS key that made it; in a rebuilt record, the fingerprint of its public key. */
  key_id: z.string(),
  algorithm: z.literal('ECDSA_SHA_256'),
  value: SignatureText,
  /** SHA-256 of the signed bytes, which are those of `manifest.json`. */
  manifest_sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type ArchiveSignature = z.infer<typeof ArchiveSignature>;

/** The result of checking the signature of an archive. */
export const SignatureCheck = z.object({
  /**
   * `valid`: made by a known key for this manifest. `invalid`: not made by a known key for this manifest. `unknown_key`:
   * made by a key that this deployment does not know. `unchecked`: the key of the deployment cannot be used.
   */
  state: z.enum(['valid', 'invalid', 'unknown_key', 'unchecked', 'unsigned']),
  /** Fingerprint of the key that made a valid signature: `sha256:` and the SHA-256 of the public key in DER. */
  key: z.string().optional(),
  /** Why the signature is not valid, as text. */
  problem: z.string().optional(),
});
export type SignatureCheck = z.infer<typeof SignatureCheck>;
