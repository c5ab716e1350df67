/** Id of the backup of that moment. */
export function idAt(time: Date): string {
  return `snapshot_${time.toISOString().slice(0, 19).replaceAll(':', '-')}Z`;
}
