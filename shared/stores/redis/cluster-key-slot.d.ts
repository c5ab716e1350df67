/** Hash slot of a key, 0 to 16383. The package ships no types. */
declare module 'cluster-key-slot' {
  export default function calculateSlot(key: string | Buffer): number;
}
