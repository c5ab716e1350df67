import { recordsText } from '../shared/catalog/record-counts.ts';
import { signatureText } from '../shared/core/signature-text.ts';
import type { VerificationLeg } from '../shared/operations/verify-backup.ts';
import { warningText } from '../shared/stores/describe-warning.ts';
import { printable } from './format.ts';

/** The result of a verification as text: the verdict, then the counted records, then warnings. */
export function verificationText(
  verified: string,
  damaged: string,
  {
    is_valid,
    errors,
    warnings,
    records,
    signature,
  }: Pick<VerificationLeg, 'is_valid' | 'errors' | 'warnings' | 'records' | 'signature'>,
): string {
  return [
    ...(is_valid ? [verified] : [damaged, ...errors.map((error) => `  ${error}`)]),
    ...Object.entries(records).map(([store, counts]) => `  ${store}: ${recordsText(counts)}`),
    ...(signature === undefined ? [] : [`  signature: ${signatureText(signature)}`]),
    ...warnings.map((warning) => `  Warning: ${warning.store}: ${warningText(warning)}`),
  ]
    .map(printable)
    .join('\n');
}
