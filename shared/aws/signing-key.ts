import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { errorFields } from '../core/error-fields.ts';
import { NgbakError, UnavailableError } from '../core/errors.ts';
import { HELP } from '../core/help.ts';
import { explainAwsError } from './aws-error.ts';

/** The signing key cannot be used: it is disabled or deleted, or its policy does not allow it. */
export class SigningKeyError extends NgbakError {}

/** KMS did not answer, or is overloaded. */
export class KmsUnavailableError extends UnavailableError {}

/** The calls of KMS that a {@link SigningKey} uses. */
export interface Kms {
  sign(arn: string, digest: Uint8Array): Promise<Uint8Array>;
  publicKey(arn: string): Promise<Uint8Array>;
}

/** The KMS key with which a deployment signs its archives. */
export class SigningKey {
  readonly arn: string;
  readonly #kms: () => Promise<Kms>;
  #public: KeyObject | undefined;

  constructor(arn: string, kms: () => Promise<Kms> = connect) {
    this.arn = arn;
    this.#kms = kms;
  }

  /**
   * Signs these bytes. Returns the signature in DER. Throws KmsUnavailableError or SigningKeyError, and
   * AccessDeniedError if the credentials have expired.
   */
  async sign(message: Uint8Array): Promise<Uint8Array> {
    const digest = createHash('sha256').update(message).digest();
    return this.#call('sign with', async (kms) => kms.sign(this.arn, digest));
  }

  /** The public key, read from KMS once. Throws as {@link sign} does. */
  async publicKey(): Promise<KeyObject> {
    this.#public ??= await this.#call('read', async (kms) =>
      createPublicKey({ key: Buffer.from(await kms.publicKey(this.arn)), format: 'der', type: 'spki' }),
    );
    return this.#public;
  }

  async #call<T>(verb: string, work: (kms: Kms) => Promise<T>): Promise<T> {
    try {
      return await work(await this.#kms());
    } catch (thrown) {
      const cause = explainAwsError(thrown);
      const isOfCaller =
        cause instanceof NgbakError && (cause.help === HELP.session || cause.help === HELP.clock);
      if (isOfCaller) throw cause;
      if (cause instanceof UnavailableError) {
        const { message, remedy, help } = cause;
        throw new KmsUnavailableError(message, { remedy, help, cause: thrown });
      }
      const { name } = errorFields(thrown);
      throw new SigningKeyError(`KMS can't ${verb} the signing key ${this.arn}: ${name}.`, {
        remedy:
          'Enable the key, or cancel its deletion, and check that its policy allows this role to use it.',
        help: HELP.signingKey,
        cause: thrown,
      });
    }
  }
}

async function connect(): Promise<Kms> {
  const { getPublicKey, kmsClient, signDigest } = await import('./kms.ts');
  const kms = kmsClient();
  return {
    sign: (arn, digest) => signDigest(kms, arn, digest),
    publicKey: (arn) => getPublicKey(kms, arn),
  };
}
