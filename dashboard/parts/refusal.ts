import { refusalOf, type StatefulCall, type SubjectOf } from '../../shared/core/allowed.ts';
import type { CallName } from '../../shared/core/calls.ts';
import type { Me } from '../../shared/operations/operation.ts';

/**
 * Why the user may not do something with a thing, as text for a disabled control: the words with which the API would refuse it.
 * Undefined where they may.
 */
export function refusalText<Name extends CallName>(
  me: Me,
  name: Name,
  subject?: Name extends StatefulCall ? SubjectOf<Name> : never,
): string | undefined {
  const refused = refusalOf(name, me, subject);
  return refused && `${refused.message} ${refused.remedy}`;
}
