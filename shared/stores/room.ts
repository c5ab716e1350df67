/** Disk or memory space that a load needs on a server. */
export interface SpaceEstimate {
  readonly of: 'disk' | 'memory';
  /** Estimated number of bytes needed. */
  readonly needed: number;
  /** Bytes that are free, or will be once the scope is cleared. Absent if the server does not report it. */
  readonly free?: number | undefined;
  /** Total bytes, if a server reports its size but not its free space. */
  readonly total?: number | undefined;
}
