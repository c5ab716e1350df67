import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What one thing (a key, a node, a point) was when: its writer takes it from step to step, one after the other. A step is
 * there at the earliest when it was sent, and gone at the latest when the next one was acknowledged.
 */
export class History {
  readonly #sent: number[] = [];
  readonly #acknowledged: number[] = [];
  readonly #isAbsent: (step: number) => boolean;
  /** True for what the server itself removes after a while. */
  readonly #mayVanish: boolean;

  constructor(isAbsent: (step: number) => boolean, mayVanish = false) {
    this.#isAbsent = isAbsent;
    this.#mayVanish = mayVanish;
  }

  get steps(): number {
    return this.#sent.length;
  }

  /** Takes the thing to its next step. */
  async next(apply: (step: number) => Promise<unknown>): Promise<void> {
    const step = this.#sent.length;
    this.#sent.push(Date.now());
    await apply(step);
    this.#acknowledged.push(Date.now());
  }

  /**
   * What is wrong with a thing of a backup that was made between two times; undefined if it could have been read.
   *
   * @param found  its step, null where it is absent
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

  #isCurrent(step: number, from: number, to: number): boolean {
    const sent = this.#sent[step];
    return (
      sent !== undefined && sent <= to && (this.#acknowledged[step + 1] ?? Number.POSITIVE_INFINITY) >= from
    );
  }
}

/** What writers do to one knowledge base, and what could have been read of it. */
export class BusyModel {
  readonly #histories = new Map<string, History>();
  readonly #writers: Promise<void>[] = [];
  #isOver = false;

  /** Begins to take a thing from step to step, with a pause between them. Its first step is there when this returns. */
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

  /** Begins to add things, each of which is removed when so many others have been added. */
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
   * Begins to move a thing around a ring of `places`: it leaves one and is at the next by one step, so that each of them is
   * a thing of its own that comes and goes.
   *
   * @param move  puts it at a place with a step, and takes it away from the one before (undefined at first)
   */
  async rotate(
    thing: string,
    paceMs: number,
    places: number,
    move: (to: { place: number; step: number }, from: number | undefined) => Promise<unknown>,
  ): Promise<void> {
    const histories = Array.from({ length: places }, (_, place) =>
      this.#add(`${thing}${place}`, (step) => step % 2 === 1, false),
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

  /** Ends all writers. Throws what one of them has thrown. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#writers);
  }

  get steps(): number {
    let steps = 0;
    for (const history of this.#histories.values()) steps += history.steps;
    return steps;
  }

  /** What cannot have been read between two times. `found` has the step of each thing, null where it never was like this. */
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
    // What it throws is thrown by `stop`.
    writer.catch(() => undefined);
    this.#writers.push(writer);
  }
}
