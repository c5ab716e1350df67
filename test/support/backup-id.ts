/** ID of a backup at that time. */
export function idAt(time: Date): string {
  return `snapshot_${time.toISOString().slice(0, 19).replaceAll(':', '-')}Z`;
}
