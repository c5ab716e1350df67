/** An estimate in words: `about USD 0.12`. */
export function usdText(usd: number): string {
  if (usd === 0) return 'no charge';
  if (usd < 0.01) return 'less than USD 0.01';
  return `about USD ${usd < 100 ? usd.toFixed(2) : Math.round(usd).toLocaleString('en-US')}`;
}

/** A duration of a thaw in words: `3 to 5 hours`, `1 to 5 minutes`. */
export function thawText({ min, max }: { readonly min: number; readonly max: number }): string {
  if (max >= 1) return `${min} to ${max} hours`;
  return `${Math.round(min * 60)} to ${Math.round(max * 60)} minutes`;
}

/** One way of thawing in words: `standard: 3 to 5 hours, about USD 0.12`. */
export function offerText(offer: {
  readonly tier: string;
  readonly hours_min: number;
  readonly hours_max: number;
  readonly usd: number;
}): string {
  const { tier, hours_min, hours_max, usd } = offer;
  return `${tier}: ${thawText({ min: hours_min, max: hours_max })}, ${usdText(usd)}`;
}
