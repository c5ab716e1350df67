import type { NgbakConfig } from '../../core/config.ts';
import { describeError } from '../../core/errors.ts';
import type { StoreName } from '../../core/store-names.ts';
import { resolveStore, withStore } from '../../profiles/open.ts';
import type { LegContext } from '../../stores/leg.ts';
import type { Store } from '../../stores/store.ts';
import type { DrillPlace } from '../drill/destination.ts';
import type { SmokeAnswer } from './answer.ts';
import type { RestorePlan } from './plan.ts';

type Asked = Pick<RestorePlan, 'target' | 'routes'>;

/**
 * Runs the smoke checks of a store: those in the configuration, or the adapter's own. If collections are renamed, the
 * checks query those of the destination. A failed check is recorded as an answer, too.
 */
export async function runSmokeChecks(
  config: NgbakConfig,
  plan: Asked,
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
    const renamed = questions === undefined ? question : adapter.renameQuestion(question, route?.names ?? {});
    answers.push(await ask(store, textOf(renamed), renamed, context));
  }
  return answers;
}

async function ask(store: Store, text: string, question: unknown, context: LegContext): Promise<SmokeAnswer> {
  try {
    return { question: text, answered: true, answer: await store.smoke(question, context) };
  } catch (error) {
    context.signal.throwIfAborted();
    return { question: text, answered: false, answer: describeError(error) };
  }
}

function textOf(question: unknown): string {
  return typeof question === 'string' ? question : JSON.stringify(question);
}

/**
 * Runs the smoke checks of a drill against the source target, under its own names. Checks that can't be run against the
 * copy are skipped.
 */
export async function checkTargetOfDrill(
  config: NgbakConfig,
  plan: Asked & { readonly drill: DrillPlace },
  name: StoreName,
  context: LegContext,
): Promise<SmokeAnswer[]> {
  if (name === 'config') return [];
  return withStore(config, plan.drill.of, name, async (store) => {
    const answers: SmokeAnswer[] = [];
    for (const { question, text, there } of drillQuestions(config, plan, name)) {
      const answer = 'not asked: the question names records that have other names in a drill';
      answers.push(
        there === undefined
          ? { question: text, answered: false, answer }
          : await ask(store, text, question, context),
      );
    }
    return answers;
  });
}

/**
 * Runs the smoke checks against the copy that a drill has restored. The answers carry the texts of the target's
 * questions.
 */
export async function checkCopyOfDrill(
  config: NgbakConfig,
  plan: Asked & { readonly drill: DrillPlace },
  store: Store,
  context: LegContext,
): Promise<SmokeAnswer[]> {
  if (store.name === 'config') return [];
  const answers: SmokeAnswer[] = [];
  for (const { text, there } of drillQuestions(config, plan, store.name)) {
    if (there !== undefined) answers.push(await ask(store, text, there, context));
  }
  return answers;
}

/** The questions of a drill: for the target, and for the copy if they can be translated. */
function drillQuestions(
  config: NgbakConfig,
  { drill, routes }: Asked & { readonly drill: DrillPlace },
  name: Exclude<StoreName, 'config'>,
): { question: unknown; text: string; there: unknown }[] {
  const { adapter, scope, questions } = resolveStore(config, drill.of, name);
  const record = routes[name];
  if (!record) return [];
  const route = { ...record, scope: adapter.Scope.parse(record.scope) };
  return (questions ?? adapter.questions(scope)).map((question) => ({
    question,
    text: textOf(question),
    there: adapter.scratch ? adapter.scratch.question(question, scope, route) : question,
  }));
}
