import { setTimeout as sleep } from 'node:timers/promises';

export const isOdd = (step: number) => step % 2 === 1;

/**
 * The history of one item (a key, a node, a point): its writer advances it from step to step. A step exists from when
 * it was sent at the earliest until the next one was acknowledged at the latest.
 */
export class History {
  readonly #sent: number[] = [];
  readonly #acknowledged: number[] = [];
  readonly #isAbsent: (step: number) => boolean;
  /** True for items that the server itself removes after a while. */
  readonly #mayVanish: boolean;

  constructor(isAbsent: (step: number) => boolean, mayVanish = false) {
    this.#isAbsent = isAbsent;
    this.#mayVanish = mayVanish;
  }

  get steps(): number {
    return this.#sent.length;
  }

  /** Advances the item to its next step. */
  async next(apply: (step: number) => Promise<unknown>): Promise<void> {
    const step = this.#sent.length;
    this.#sent.push(Date.now());
    await apply(step);
    this.#acknowledged.push(Date.now());
  }

  /**
   * The error of an item in a backup that was made between two times; undefined if it could have been read.
   *
   * @param found  its step, null if it is absent
   */
  problem(found: number | null, from: number, to: number): string | undefined {
    if (found !== null) {
      if (this.#isAbsent(found)) return `it is there as of step ${found}, which deleted it`;
      if (!this.#isCurrent(found, from, to))
        return `step ${found} was over before the backup, or came after it`;
      return undefined;
    }
    if (this.#mayVanish) return undefined;
    const couldBeAbsent =
      (this.#sent[0] ?? Number.POSITIVE_INFINITY) >= from ||
      this.#sent.some((_, step) => this.#isAbsent(step) && this.#isCurrent(step, from, to));
    return couldBeAbsent ? undefined : 'it is absent, and was there all the time';
  }

  /** The longest time between the ends of two steps, of those that ended between two times, in milliseconds. */
  longestPause(from: number, to: number): number {
    const ends = [from, ...this.#acknowledged.filter((time) => time > from && time < to), to];
    return Math.max(...ends.map((time, at) => time - (ends[at - 1] ?? time)));
  }

  #isCurrent(step: number, from: number, to: number): boolean {
    const sent = this.#sent[step];
    return (
      sent !== undefined && sent <= to && (this.#acknowledged[step + 1] ?? Number.POSITIVE_INFINITY) >= from
    );
  }
}

/** The writers of one knowledge base, and the model of what could have been read from it. */
export class BusyModel {
  readonly #histories = new Map<string, History>();
  readonly #writers: Promise<void>[] = [];
  #isOver = false;

  /**
   * Starts to advance an item from step to step, with a pause between them. Its first step exists when this returns.
   */
  async start(
    thing: string,
    paceMs: number,
    apply: (step: number) => Promise<unknown>,
    {
      isAbsent = () => false,
      mayVanish = false,
    }: { isAbsent?: (step: number) => boolean; mayVanish?: boolean } = {},
  ): Promise<void> {
    const history = this.#add(thing, isAbsent, mayVanish);
    await history.next(apply);
    this.#work(paceMs, () => history.next(apply));
  }

  /** Starts to add items, each of which is removed once a number of others have been added. */
  async append(
    thing: string,
    paceMs: number,
    living: number,
    apply: (number: number, step: number) => Promise<unknown>,
  ): Promise<void> {
    const histories: History[] = [];
    const add = async () => {
      const number = histories.length;
      const history = this.#add(`${thing}${number}`, (step) => step === 1, false);
      histories.push(history);
      await history.next((step) => apply(number, step));
      const old = number - living;
      await histories[old]?.next((step) => apply(old, step));
    };
    await add();
    this.#work(paceMs, add);
  }

  /**
   * Starts to move an item around a ring of `places`: one step removes it from one place and adds it to the next, so
   * that each place is modelled as an item that appears and disappears.
   *
   * @param move  writes it to a place with a step, and removes it from the previous one (undefined at first)
   */
  async rotate(
    thing: string,
    paceMs: number,
    places: number,
    move: (to: { place: number; step: number }, from: number | undefined) => Promise<unknown>,
  ): Promise<void> {
    const histories = Array.from({ length: places }, (_, place) =>
      this.#add(`${thing}${place}`, isOdd, false),
    );
    let turns = 0;
    const turn = async () => {
      const place = turns % places;
      const [before, next] = [histories[(turns - 1) % places], histories[place]];
      const from = turns === 0 ? undefined : (turns - 1) % places;
      turns++;
      const arrive = () => next?.next((step) => move({ place, step }, from)) ?? Promise.resolve();
      await (before === undefined ? arrive() : before.next(arrive));
    };
    await turn();
    this.#work(paceMs, turn);
  }

  /** Stops all writers. Throws the error of a failed one. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#writers);
  }

  get steps(): number {
    let steps = 0;
    for (const history of this.#histories.values()) steps += history.steps;
    return steps;
  }

  /** The longest time between two times in which an item did not change, in milliseconds. */
  longestPause(thing: string, from: number, to: number): number {
    return this.#histories.get(thing)?.longestPause(from, to) ?? to - from;
  }

  /** The impossible reads between two times. `found` has the step of each item, null if its value never existed. */
  problems(found: ReadonlyMap<string, number | null>, from: number, to: number): string[] {
    const problems: string[] = [];
    for (const [thing, step] of found) {
      if (step === null) problems.push(`${thing}: its content never was like this`);
      else if (!this.#histories.has(thing)) problems.push(`${thing}: nobody has made it`);
    }
    for (const [thing, history] of this.#histories) {
      const step = found.get(thing);
      if (step === null) continue;
      const problem = history.problem(step ?? null, from, to);
      if (problem !== undefined) problems.push(`${thing}: ${problem}`);
    }
    return problems;
  }

  #add(thing: string, isAbsent: (step: number) => boolean, mayVanish: boolean): History {
    const history = new History(isAbsent, mayVanish);
    this.#histories.set(thing, history);
    return history;
  }

  #work(paceMs: number, once: () => Promise<void>): void {
    const work = async () => {
      while (!this.#isOver) {
        await sleep(paceMs);
        await once();
      }
    };
    const writer = work();
    // Its error is thrown by `stop`.
    writer.catch(() => undefined);
    this.#writers.push(writer);
  }
}
