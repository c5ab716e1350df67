import { z } from 'zod';
import { hostOf } from '../../core/host.ts';

/** Schema of the connection secret of a PostgreSQL store. */
export const PostgresConnection = z
  .strictObject({
    /** `postgresql://host:port/database`, without credentials and parameters. */
    url: z
      .string()
      .regex(
        /^postgres(ql)?:\/\/[^\s/@?#]+\/[^\s/?#]+$/,
        'must be like postgresql://host:5432/database, without a user',
      )
      .refine((url) => URL.canParse(url), { message: 'must be like postgresql://host:5432/database' }),
    username: z.string().min(1),
    password: z.string().min(1).optional(),
    /** IAM authentication of Amazon RDS and Aurora instead of a password: the region of the database. */
    iam: z.strictObject({ region: z.string().regex(/^[a-z]{2}(-[a-z]+)+-\d+$/) }).optional(),
    /** TLS with verification of the certificate and of the host name. Only a server on a private network may do without. */
    tls: z.boolean().default(true),
    /** PEM certificates of the authorities to trust instead of the public ones, such as those of Amazon RDS. */
    ca: z.string().includes('-----BEGIN CERTIFICATE-----').optional(),
  })
  .refine(({ tls, ca }) => tls || ca === undefined, { message: 'needs "tls": true', path: ['ca'] })
  .refine(({ tls, iam }) => tls || iam === undefined, { message: 'needs "tls": true', path: ['iam'] })
  .refine(({ password, iam }) => (password === undefined) !== (iam === undefined), {
    message: 'either "password" or "iam" is required',
  });
export type PostgresConnection = z.infer<typeof PostgresConnection>;

/** Where a client connects to. */
export function addressOf({ url }: Pick<PostgresConnection, 'url'>): {
  readonly host: string;
  readonly port: number;
  readonly database: string;
} {
  const address = new URL(url);
  const { port, pathname } = address;
  return {
    host: hostOf(address).toLowerCase(),
    port: Number(port || 5432),
    database: decodeURIComponent(pathname.slice(1)),
  };
}
