import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import { type ByteString, type LeftOutReason, showKey } from './scope.ts';

const TEXTS: Record<LeftOutReason, { readonly code: string; readonly text: string }> = {
  outside: {
    code: 'keys-outside-namespaces',
    text: 'keys under the prefix of the scope that belong to none of its namespaces are left out; add a namespace, or set "others" to "include".',
  },
  excluded: {
    code: 'keys-excluded',
    text: 'keys that a pattern in "exclude" of the scope matches are left out.',
  },
  unsupported: {
    code: 'keys-unsupported',
    text: 'keys of types that server modules made, or with names of more than 2,048 bytes, are left out, as "unsupported" of the scope says; back them up with other tools.',
  },
};

/** Counts keys that have the prefix of a scope but are not in it, and keeps samples of their names. */
export class LeftOut {
  readonly #counts = new Map<LeftOutReason, { count: number; samples: string[] }>();

  add(reason: LeftOutReason, key: ByteString): void {
    const known = this.#counts.get(reason) ?? { count: 0, samples: [] };
    this.#counts.set(reason, known);
    known.count++;
    if (known.samples.length < WARNING_SAMPLES_MAX) known.samples.push(showKey(key));
  }

  countOf(reason: LeftOutReason): number {
    return this.#counts.get(reason)?.count ?? 0;
  }

  /** @param server  name of the server for messages */
  warnings(server: string): StoreWarning[] {
    return [...this.#counts].map(([reason, { count, samples }]) => ({
      code: TEXTS[reason].code,
      text: `${server}: ${TEXTS[reason].text}`,
      count,
      samples,
    }));
  }
}
