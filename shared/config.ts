import { z } from 'zod';
import { InvalidInputError } from './errors.ts';
import { Id } from './ids.ts';
import { parseJson } from './input.ts';

/** A store of a target: which adapter reaches it, where its credentials are, which part of the server is ours. */
export const StoreConfig = z.strictObject({
  /** Adapter kind, as listed in the registry: `neo4j`, `qdrant`, `redis`, `files`. */
  kind: z.string().min(1),
  /** ARN or name of the Secrets Manager secret that holds the adapter's connection as JSON. */
  secret: z.string().min(1),
  /** Overrides of the scope that the profile derives, in the adapter's own terms. No secrets. */
  scope: z.record(z.string(), z.json()).optional(),
});
export type StoreConfig = z.infer<typeof StoreConfig>;

/** A knowledge base that can be backed up and restored: one named set of stores. */
export const TargetConfig = z.strictObject({
  /** How the GraphRAG system lays out its data; see docs/profiles.md. */
  profile: z.string().min(1).default('custom'),
  /** Parameters of the profile, such as `{"namespace": "demo"}`. */
  parameters: z.record(z.string(), z.json()).default({}),
  stores: z.strictObject({
    graph: StoreConfig.optional(),
    vectors: StoreConfig.optional(),
    kv: StoreConfig.optional(),
  }),
  /** The system's effective configuration, saved in every backup for reference. Secrets are masked. */
  configuration: z.record(z.string(), z.json()).default({}),
});
export type TargetConfig = z.infer<typeof TargetConfig>;

/** What the functions know about the world, without a secret: environment variable `NGBAK_CONFIG`. */
export const NgbakConfig = z.strictObject({
  targets: z.record(Id, TargetConfig),
});
export type NgbakConfig = z.infer<typeof NgbakConfig>;

/** Reads the configuration that the stack gave to this function. Throws InvalidInputError. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): NgbakConfig {
  return parseJson(
    NgbakConfig,
    environment.NGBAK_CONFIG ?? '',
    'Configuration in NGBAK_CONFIG',
    'Deploy the stack again: it writes this variable from the "ngbak" key of cdk.json.',
  );
}

/** The configured target of that name. Throws InvalidInputError that lists the names that exist. */
export function findTarget(config: NgbakConfig, name: string): TargetConfig {
  const target = Object.hasOwn(config.targets, name) ? config.targets[name] : undefined;
  if (target) return target;
  throw new InvalidInputError(`There is no target "${name}" in this deployment.`, {
    remedy: `Use one of: ${Object.keys(config.targets).join(', ')}; or add it under "targets" in cdk.json and deploy.`,
  });
}
