/** Room that a load needs on a server. */
export interface SpaceEstimate {
  readonly of: 'disk' | 'memory';
  /** Bytes that are needed, by estimate. */
  readonly needed: number;
  /** Bytes that are free, or will be once the scope is cleared; absent where the server does not report it. */
  readonly free?: number | undefined;
  /** Bytes in all, where a server reports its size and not what is free. */
  readonly total?: number | undefined;
}
