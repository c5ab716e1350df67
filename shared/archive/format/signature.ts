import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { InvalidInputError } from '../../core/errors.ts';
import { SIGNATURE_BYTES_MAX } from '../../core/signature.ts';

/** Ending of the file or object that holds the signature of an archive, after the name of the archive. */
export const SIGNATURE_ENDING = '.sig';

/** A public key in PEM (`BEGIN PUBLIC KEY`). Throws InvalidInputError unless it is one of the curve P-256. */
export function parsePublicKey(pem: string, what: string): KeyObject {
  const wrong = (problem: string, cause?: unknown) =>
    new InvalidInputError(`${what} ${problem}.`, {
      remedy:
        'Give the public key of the deployment that signed the archives, as `ngbak signing-key` prints it.',
      cause,
    });
  // Node would derive the public key of a private one, which must not be in a configuration.
  if (!/^\s*-----BEGIN PUBLIC KEY-----/.test(pem)) throw wrong('is not a public key in PEM');
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw wrong('is not a public key in PEM', cause);
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw wrong('is not a key of the curve P-256 (ECC_NIST_P256)');
  }
  return key;
}

/** `sha256:` and the digest of the key in DER, as of `openssl pkey -pubin -in key.pem -outform DER | sha256sum`. */
export function fingerprintOf(key: KeyObject): string {
  const der = key.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(der).digest('hex')}`;
}

/** Whether the signature (DER) of these bytes, which are those of `manifest.json`, was made with that key. */
export function isSignedBy(manifest: Uint8Array, signature: Uint8Array, key: KeyObject): boolean {
  if (signature.length === 0 || signature.length > SIGNATURE_BYTES_MAX) return false;
  try {
    return verify('sha256', manifest, { key, dsaEncoding: 'der' }, signature);
  } catch {
    // Bytes that are not a signature at all.
    return false;
  }
}
