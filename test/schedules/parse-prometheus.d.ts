/** The part of parse-prometheus-text-format used here; the package has no types. */
declare module 'parse-prometheus-text-format' {
  /** Throws InvalidLineError. */
  export default function parse(text: string): readonly {
    readonly name: string;
    readonly help: string;
    readonly type: 'GAUGE' | 'COUNTER' | 'HISTOGRAM';
    readonly metrics: readonly {
      readonly labels?: Readonly<Record<string, string>>;
      readonly value?: string;
      readonly buckets?: Readonly<Record<string, string>>;
      readonly count?: string;
      readonly sum?: string;
    }[];
  }[];
}
