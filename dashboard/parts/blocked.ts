/** Properties of a button that can't be used now, with the reason for whoever points at it or reaches it by keyboard. */
export function blocked(why: string | undefined): { disabled?: boolean; disabledReason?: string } {
  return why === undefined ? {} : { disabled: true, disabledReason: why };
}
