import type { NgbakConfig } from '../../core/config.ts';
import { describeError } from '../../core/errors.ts';
import { resolveStore } from '../../profiles/open.ts';
import type { LegContext } from '../../stores/leg.ts';
import type { Store } from '../../stores/store.ts';
import type { SmokeAnswer } from './answer.ts';
import type { RestorePlan } from './plan.ts';

/**
 * Asks a store the questions that the configuration has for it, or the adapter's own. Where collections are renamed, the
 * questions are about those of the destination. What can't be answered is an answer, too.
 */
export async function runSmokeChecks(
  config: NgbakConfig,
  plan: Pick<RestorePlan, 'target' | 'routes'>,
  store: Store,
  context: LegContext,
): Promise<SmokeAnswer[]> {
  const { name } = store;
  if (name === 'config') return [];
  const { adapter, scope, questions } = resolveStore(config, plan.target, name);
  const route = plan.routes[name];
  const smokeQuestions = questions ?? adapter.questions(route ? adapter.Scope.parse(route.scope) : scope);
  const answers: SmokeAnswer[] = [];
  for (const question of smokeQuestions) {
    const there = questions === undefined ? question : adapter.renameQuestion(question, route?.names ?? {});
    const text = typeof there === 'string' ? there : JSON.stringify(there);
    try {
      answers.push({ question: text, answered: true, answer: await store.smoke(there, context) });
    } catch (error) {
      context.signal.throwIfAborted();
      answers.push({ question: text, answered: false, answer: describeError(error) });
    }
  }
  return answers;
}
