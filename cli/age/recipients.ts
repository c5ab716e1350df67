import { InvalidInputError } from '../../shared/core/errors.ts';
import { type AgeHeader, NONCE_BYTES, sealedSize } from './stream.ts';

/** Maximum number of recipients of one file. */
export const RECIPIENTS_MAX = 100;
/** Recipients whose files stay secret from someone with a quantum computer. */
const POST_QUANTUM = /^age1(pq|tagpq)1/;

/**
 * Creates the header of a new age file, which any of these recipients (`age1…`) can decrypt. Throws InvalidInputError
 * if one is not valid, without repeating secret keys.
 */
export async function newHeader(recipients: readonly string[]): Promise<AgeHeader> {
  if (recipients.length === 0 || recipients.length > RECIPIENTS_MAX) {
    throw new InvalidInputError(`A file has 1 to ${RECIPIENTS_MAX} recipients, not ${recipients.length}.`, {
      remedy: 'Give each with --encrypt-to.',
    });
  }
  const isPostQuantum = recipients.map((text) => POST_QUANTUM.test(text));
  if (isPostQuantum.includes(true) && isPostQuantum.includes(false)) {
    throw new InvalidInputError('Post-quantum recipients (age1pq1…) cannot be mixed with others.', {
      remedy: 'The file would be as weak as its weakest recipient: give recipients of one kind.',
    });
  }
  // Imported on demand: other commands must not wait for it.
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  let fileKey: Uint8Array | undefined;
  // Adds nothing to the header: the key is needed here as well, to encrypt the payload.
  encrypter.addRecipient({
    wrapFileKey: (key) => {
      fileKey = Uint8Array.from(key);
      return [];
    },
  });
  for (const text of new Set(recipients)) {
    try {
      encrypter.addRecipient(text);
    } catch {
      throw invalid(text);
    }
  }
  const empty = await encrypter.encrypt(new Uint8Array());
  if (!fileKey) throw new Error('The header of an age file was created without a key.');
  const bytes = Buffer.from(empty.subarray(0, empty.length - NONCE_BYTES - sealedSize(0)));
  return { bytes, fileKey };
}

function invalid(text: string): InvalidInputError {
  if (/^AGE-SECRET-KEY-/i.test(text)) {
    return new InvalidInputError('A secret key was given as a recipient.', {
      remedy: 'Give its public key, which starts with age1: `age-keygen -y KEYFILE` prints it.',
    });
  }
  const kind = text.startsWith('ssh-')
    ? 'SSH keys are not supported.'
    : 'Recipients of plugins are not supported.';
  return new InvalidInputError(`"${text.slice(0, 100)}" is not a recipient of age.`, {
    remedy: `Give a public key that \`age-keygen\` printed: it starts with age1. ${kind}`,
  });
}
