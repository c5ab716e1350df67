import type { SignatureCheck } from './signature.ts';

/** The result of a check in words. */
export function signatureText({ state, key, problem }: SignatureCheck): string {
  if (state === 'valid') return `valid (key ${key})`;
  if (state === 'unsigned') return 'none';
  return `${state.replace('_', ' ')}: ${problem}`;
}
