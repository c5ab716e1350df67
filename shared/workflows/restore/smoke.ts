import type { NgbakConfig } from '../../core/config.ts';
import { describeError } from '../../core/errors.ts';
import type { ServedStore } from '../../core/store-names.ts';
import { resolveStore, withStore } from '../../profiles/open.ts';
import type { LegContext } from '../../stores/leg.ts';
import type { Store } from '../../stores/store.ts';
import { isRehearsal } from '../drill/destination.ts';
import type { SmokeAnswer } from './answer.ts';
import type { RestorePlan } from './plan.ts';

type Asked = Pick<RestorePlan, 'target' | 'routes' | 'drill'>;

/** A smoke check as it is run. */
interface SmokeCheck {
  readonly text: string;
  /** Undefined if it can't be run. */
  readonly question: unknown;
}

const NOT_ASKED = 'not asked: the question names records that have other names in a drill';

/**
 * Runs the smoke checks of a store before anything is written. Those of a drill are run against its source target,
 * under its own names.
 */
export async function smokeBefore(
  config: NgbakConfig,
  plan: Asked,
  store: Store,
  context: LegContext,
): Promise<SmokeAnswer[]> {
  const { name } = store;
  if (name === 'config') return [];
  const { drill } = plan;
  if (!drill || isRehearsal(plan)) return askAll(store, checksOf(config, plan, name), context);
  const checks = drillChecks(config, plan, drill.of, name).map(({ text, question, there }) => ({
    text,
    question: there === undefined ? undefined : question,
  }));
  return withStore(config, drill.of, name, (source) => askAll(source, checks, context));
}

/**
 * Runs the smoke checks of a store after it was restored. Those of a drill are run against the copy, if they can be; the
 * answers carry the texts of the target's questions.
 */
export async function smokeAfter(
  config: NgbakConfig,
  plan: Asked,
  store: Store,
  context: LegContext,
): Promise<SmokeAnswer[]> {
  const { name } = store;
  if (name === 'config') return [];
  const { drill } = plan;
  if (!drill) return askAll(store, checksOf(config, plan, name), context);
  const checks = drillChecks(config, plan, drill.of, name).flatMap(({ text, there }) =>
    there === undefined ? [] : [{ text, question: there }],
  );
  return askAll(store, checks, context);
}

/**
 * The smoke checks of a restore: those in the configuration, or the adapter's own. If collections are renamed, the
 * checks query those of the destination.
 */
function checksOf(config: NgbakConfig, { target, routes }: Asked, name: ServedStore): SmokeCheck[] {
  const { adapter, scope, questions } = resolveStore(config, target, name);
  const route = routes[name];
  return (questions ?? adapter.questions(route ? adapter.Scope.parse(route.scope) : scope)).map((asked) => {
    const question = questions === undefined ? asked : adapter.renameQuestion(asked, route?.names ?? {});
    return { text: textOf(question), question };
  });
}

/** The smoke checks of a drill: for the target, and `there` for the copy, if they can be translated. */
function drillChecks(
  config: NgbakConfig,
  { routes }: Asked,
  target: string,
  name: ServedStore,
): (SmokeCheck & { readonly there: unknown })[] {
  const { adapter, scope, questions } = resolveStore(config, target, name);
  const record = routes[name];
  if (!record) return [];
  const route = { ...record, scope: adapter.Scope.parse(record.scope) };
  return (questions ?? adapter.questions(scope)).map((question) => ({
    question,
    text: textOf(question),
    there: adapter.scratch ? adapter.scratch.question(question, scope, route) : question,
  }));
}

function textOf(question: unknown): string {
  return typeof question === 'string' ? question : JSON.stringify(question);
}

/** Runs checks one after another. A failed check is recorded as an answer, too. */
async function askAll(
  store: Store,
  checks: readonly SmokeCheck[],
  context: LegContext,
): Promise<SmokeAnswer[]> {
  const answers: SmokeAnswer[] = [];
  for (const check of checks) answers.push(await ask(store, check, context));
  return answers;
}

async function ask(store: Store, { text, question }: SmokeCheck, context: LegContext): Promise<SmokeAnswer> {
  if (question === undefined) return { question: text, answered: false, answer: NOT_ASKED };
  try {
    return { question: text, answered: true, answer: await store.smoke(question, context) };
  } catch (error) {
    context.signal.throwIfAborted();
    return { question: text, answered: false, answer: describeError(error) };
  }
}
