import { z } from 'zod';
import type { TargetConfig } from '../core/config.ts';
import { OBJECT_BYTES_MAX } from '../core/limits.ts';
import { StoreName } from '../core/store-name.ts';
import { roleOf, SERVED_ROLES, valuesByStore } from '../core/store-names.ts';
import { VERSION } from '../core/version.ts';
import { SINGLE_UPLOAD_BYTES_MAX } from '../workflows/restore/request.ts';
import type { OperationsContext } from './context.ts';

export const Deployment = z.object({
  version: z.string(),
  /** AWS region and account, from the ARN of the workflow. */
  region: z.string(),
  account: z.string(),
  bucket: z.string(),
  /** Maximum size of an upload for a restore, in bytes: in parts, and with one PUT or form POST. */
  upload: z.object({ max_bytes: z.number().int(), max_single_bytes: z.number().int() }),
  targets: z.array(
    z.object({
      name: z.string(),
      profile: z.string(),
      /** Its stores, with the kind of server of each. */
      stores: z.array(z.object({ store: StoreName, kind: z.string() })),
      /** Whether hooks pause the writers while its stores are read or written. */
      hooks: z.boolean(),
      /** Limitations of this target with their reasons, as text. */
      limits: z.array(z.string()),
    }),
  ),
});
export type Deployment = z.infer<typeof Deployment>;

/** What the deployment backs up, and its limitations. Contains names and kinds, never an address or a secret. */
export function describeDeployment({ bucket, stateMachines, config }: OperationsContext): Deployment {
  const maxBytes = config?.upload_bytes_max ?? OBJECT_BYTES_MAX;
  const [, , , region = '', account = ''] = stateMachines.backup.split(':');
  return {
    version: VERSION,
    region,
    account,
    bucket: bucket.place,
    upload: { max_bytes: maxBytes, max_single_bytes: Math.min(maxBytes, SINGLE_UPLOAD_BYTES_MAX) },
    targets: Object.entries(config?.targets ?? {}).map(([name, target]) => ({
      name,
      profile: target.profile,
      stores: [
        ...valuesByStore(target.stores).map(([store, { kind }]) => ({ store, kind })),
        { store: 'config' as const, kind: 'config' },
      ],
      hooks: target.hooks !== undefined,
      limits: limitsOf(target),
    })),
  };
}

function limitsOf(target: TargetConfig): string[] {
  const { profile, stores, hooks, configuration, configuration_from, configuration_folder } = target;
  const roles = new Set(valuesByStore(stores).map(([store]) => roleOf(store)));
  const missing = SERVED_ROLES.filter((role) => !roles.has(role));
  return [
    ...missing.map(
      (store) => `The store "${store}" is neither backed up nor restored: it is not configured.`,
    ),
    ...(hooks
      ? []
      : [
          'Writers are not paused during a backup, so its consistency is "unchanged" or "drifted", never "quiesced": no hooks are configured.',
        ]),
    ...(profile === 'custom'
      ? [
          'References between the stores are not checked, and documents and chunks are not counted: the profile "custom" does not know the layout of the data.',
        ]
      : []),
    ...(Object.keys(configuration).length === 0 && !configuration_from && !configuration_folder
      ? ['The configuration of the system is not backed up: "configuration" is empty.']
      : []),
  ];
}
