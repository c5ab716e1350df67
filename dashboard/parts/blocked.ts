/** Properties of a disabled button, with the reason for pointer and keyboard users. */
export function blocked(why: string | undefined): { disabled?: boolean; disabledReason?: string } {
  return why === undefined ? {} : { disabled: true, disabledReason: why };
}
