import { createHash, createSign, generateKeyPairSync } from 'node:crypto';
import { SigningKey } from '../../shared/aws/signing-key.ts';

/** A key pair of P-256, and a signing key that uses it in place of KMS. */
export function signingPair(arn = 'arn:aws:kms:eu-central-1:000000000000:key/test') {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sign = (bytes: Uint8Array) => createSign('sha256').update(bytes).sign(privateKey);
  const der = publicKey.export({ type: 'spki', format: 'der' });
  class LocalKey extends SigningKey {
    // KMS gets the digest, which Node cannot sign.
    override async sign(message: Uint8Array) {
      return sign(message);
    }
  }
  return {
    arn,
    publicKey,
    pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    /** `sha256:…` */
    fingerprint: `sha256:${sha256(der)}`,
    /** The signature of these bytes, in DER. */
    sign,
    key: new LocalKey(arn, async () => ({ sign: async () => new Uint8Array(), publicKey: async () => der })),
  };
}

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A key that KMS refuses to use, with an error of that name. */
export function failingKey(name: string, httpStatusCode = 400): SigningKey {
  const fail = async () => {
    throw Object.assign(new Error(name), { name, $fault: 'client', $metadata: { httpStatusCode } });
  };
  return new SigningKey('arn:aws:kms:eu-central-1:0:key/lost', async () => ({ sign: fail, publicKey: fail }));
}
