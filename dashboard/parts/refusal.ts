import { refusalOf, type StatefulCall, type SubjectOf } from '../../shared/core/allowed.ts';
import type { CallName } from '../../shared/core/calls.ts';
import type { Me } from '../../shared/operations/operation.ts';

/**
 * The reason why the user may not perform an action, as text for a disabled control: the message with which the API
 * would refuse it. Undefined if it is allowed.
 */
export function refusalText<Name extends CallName>(
  me: Me,
  name: Name,
  subject?: Name extends StatefulCall ? SubjectOf<Name> : never,
): string | undefined {
  const refused = refusalOf(name, me, subject);
  return refused && `${refused.message} ${refused.remedy}`;
}
