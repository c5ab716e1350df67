import { readFile } from 'node:fs/promises';
import { usdText } from '../shared/core/cost-text.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { parseJson } from '../shared/core/input.ts';
import { amountUsd, PriceOverrides, pricesOf } from '../shared/core/prices.ts';
import { type Costs, priceCosts } from '../shared/operations/costs.ts';
import type { CliClient } from './client.ts';
import { bytes, count, localTime } from './format.ts';
import { LINES_MAX, table } from './output.ts';

type Found = Awaited<ReturnType<CliClient['costs']>>;

/** What is stored now and what it costs, by the prices of a file if one is given. Lists the whole bucket. */
export async function readCosts(client: CliClient, pricesFile: string | undefined): Promise<Found> {
  // Before the bucket is listed: a mistake in the file should not wait.
  const own = pricesFile === undefined ? undefined : await readPrices(pricesFile);
  let found = await client.costs({ cursor: null });
  while (!found.done) found = await client.costs({ cursor: found.cursor });
  if (own === undefined) return found;
  const stored = found.stored.map(({ usd_per_month: _, ...amount }) => amount);
  const early = found.early_deletion.map(({ usd: _, ...one }) => one);
  const early_backups = found.early_backups.map(({ usd: _, ...one }) => one);
  return {
    ...found,
    prices: { date: own.date ?? pricesFile ?? '', of_region: true },
    ...priceCosts({ stored, early, early_backups }, pricesOf(found.region, own)),
    ...(found.copies ? { copies: found.copies.map((copy) => repriced(copy, own)) } : {}),
  };
}

type Copy = NonNullable<Costs['copies']>[number];

function repriced(copy: Copy, own: PriceOverrides): Copy {
  return { ...copy, usd_per_month: amountUsd(pricesOf(copy.region, own), copy) };
}

async function readPrices(path: string): Promise<PriceOverrides> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new InvalidInputError(`File ${path} can't be read.`, {
      remedy: 'Check its name and permissions.',
      cause,
    });
  });
  return parseJson(PriceOverrides, text, `The prices in ${path}`);
}

/** Costs as text: what is stored, and what thawing and deleting it would cost. */
export function costsText(found: Omit<Costs, 'cursor'>, verbose = false): string {
  const {
    stored,
    usd_per_month,
    copies = [],
    thaw,
    early_deletion,
    early_backups,
    region,
    prices,
    object_lock,
  } = found;
  const of = prices.of_region ? region : `regions similar to ${region}`;
  const listed = verbose ? early_backups : early_backups.slice(0, LINES_MAX);
  return [
    `Estimated storage costs: ${monthly(usd_per_month)} (list prices of ${of}, ${prices.date})`,
    '',
    table(
      ['stored', 'storage class', 'objects', 'size', 'estimated costs'],
      stored.map((amount) => [
        amount.what,
        amount.storage_class,
        count(amount.objects),
        bytes(amount.bytes),
        monthly(amount.usd_per_month),
      ]),
    ),
    ...copies.map(
      ({ name, region: where, storage_class, objects, bytes: size, usd_per_month: usd }) =>
        `Copy "${name}" in ${where}, ${storage_class}: ${count(objects)} archives, ${bytes(size)}, ${monthly(usd)}`,
    ),
    ...(thaw.length === 0 ? [] : ['']),
    ...thaw.map(
      ({ storage_class, tier, usd }) =>
        `Thawing everything in ${storage_class}, ${tier}: ${usdText(usd)}, with 7 days of the thawed copies`,
    ),
    ...(early_deletion.length === 0 ? [] : ['']),
    ...early_deletion.map(
      ({ storage_class, archives, until, usd }) =>
        `Minimum duration of ${storage_class}: ${usdText(usd)} for ${count(archives)} archives are billed in any case, the last until ${localTime(until)}`,
    ),
    ...listed.map(
      ({ backup_id, storage_class, until, usd }) =>
        `  ${backup_id}: ${storage_class} until ${localTime(until)}, ${usdText(usd)}`,
    ),
    ...(object_lock
      ? [
          '',
          `Object Lock: each archive is stored, and billed, for at least ${object_lock.days} days, whatever is deleted.`,
        ]
      : []),
    '',
    'Not included: requests, KMS keys, transfer, functions, discounts and taxes. See docs/deploy.md#costs.',
  ].join('\n');
}

function monthly(usd: number): string {
  return `${usdText(usd)}${usd === 0 ? '' : ' a month'}`;
}
