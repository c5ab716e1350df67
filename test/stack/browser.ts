import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { expect } from '@jest/globals';
import type { BrowserContext, Page } from 'playwright-core';
import { startChromium } from '../../local/browser.ts';
import type { Role } from '../../shared/core/roles.ts';
import { deployedStack } from './harness.ts';

/** Timeout of a test for a change on a page, in milliseconds: a deadline for hangs, of jobs as well. */
const DEADLINE_MS = 120_000;
const NARROW = { width: 360, height: 780 };
const WIDE = { width: 1280, height: 900 };

export interface VisitOptions {
  /** Signs in with the key of that role; by default, without signing in. */
  readonly role?: Role;
  readonly mode?: 'light' | 'dark';
  /** The width of a phone: 360 px. */
  readonly narrow?: boolean;
  readonly timezone?: string;
  /**
   * A browser context for this visit only, with a cache, a network and stored settings of its own.
   * @default true with a time zone, which belongs to a context
   */
  readonly alone?: boolean;
}

/** One visit of the dashboard, in a page of its own. Most share a context, and so load the code of the dashboard once. */
export interface Visit {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Opens an address of the dashboard, such as `backups` or `job/<id>`. */
  open(path: string): Promise<void>;
  /** Ends the visit. An open page would continue to poll the API. */
  close(): Promise<void>;
  /**
   * Assertions for the end of every visit: no request to other hosts, no violation of the content security policy, and
   * no script error.
   */
  assertClean(): void;
}

/** A real browser for the dashboard of the deployed stack. Close it in `afterAll`. */
export async function startBrowser() {
  const stack = deployedStack();
  const root = `${stack.apiUrl()}/`;
  const { browser, close } = await startChromium();

  const newContext = async (timezone = 'Europe/Berlin') => {
    const context = await browser.newContext({
      reducedMotion: 'reduce',
      timezoneId: timezone,
      locale: 'en-GB',
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    context.setDefaultTimeout(DEADLINE_MS);
    // Drawing the animation of a spinner takes more processor time than everything else on a page that waits.
    await context.addInitScript(() => {
      const still = new CSSStyleSheet();
      still.replaceSync(
        '*, *::before, *::after { animation: none !important; transition: none !important; }',
      );
      document.adoptedStyleSheets = [still];
    });
    return context;
  };
  const shared = await newContext();
  const visits = new Set<Visit>();

  async function visit(options: VisitOptions = {}): Promise<Visit> {
    const { role, mode, narrow, timezone, alone = timezone !== undefined } = options;
    const context = alone ? await newContext(timezone) : shared;
    const page = await context.newPage();
    await page.setViewportSize(narrow ? NARROW : WIDE);
    await page.emulateMedia({ colorScheme: mode ?? 'light' });
    if (role) {
      await page.addInitScript((text) => {
        // Only at the start of a tab: a key that the page has discarded must not return.
        if (sessionStorage.getItem('test.signed-in')) return;
        sessionStorage.setItem('test.signed-in', 'yes');
        sessionStorage.setItem('ngbak.key', text);
      }, stack.apiKey(role));
    }
    const faults: string[] = [];
    page.on('pageerror', (error) => faults.push(`error: ${error.stack ?? error.message}`));
    page.on('console', (message) => {
      if (message.type() !== 'error') return;
      // The browser logs every unsuccessful response; the page reports those.
      if (message.text().startsWith('Failed to load resource')) return;
      faults.push(`console: ${message.text()}`);
    });
    page.on('request', (request) => {
      const url = request.url();
      if (!/^(data|blob):/.test(url) && new URL(url).origin !== new URL(root).origin) {
        faults.push(`another host: ${url.split('?')[0]}`);
      }
    });
    const made: Visit = {
      page,
      context,
      open: async (path) => {
        await page.goto(`${root}#/${path}`);
      },
      close: async () => {
        visits.delete(made);
        await (alone ? context : page).close();
      },
      assertClean: () => expect(faults).toEqual([]),
    };
    visits.add(made);
    return made;
  }

  /** Closes all visits. Call it after each test. */
  async function closeVisits(): Promise<void> {
    for (const opened of [...visits]) await opened.close();
  }

  return { stack, root, visit, closeVisits, newContext: () => browser.newContext(), close };
}

interface Violation {
  readonly id: string;
  readonly help: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** The violations that axe finds on the current page, by WCAG 2.2 A and AA and axe's own best practices. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  if (!(await page.evaluate('"axe" in window'))) {
    // Through the debugger: the policy of the page would refuse a foreign script.
    await page.evaluate(
      await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'),
    );
  }
  // Without preloading, which only a rule for media needs, and an experimental one that does not run.
  const violations = (await page.evaluate(
    'axe.run(document, { resultTypes: ["violations"], preload: false }).then(({ violations }) => violations)',
  )) as Violation[];
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ html, failureSummary = '' }) => `${id} (${help}): ${html.slice(0, 300)} ${failureSummary}`),
  );
}

/** Whether anything makes the page scroll sideways. */
export function overflows(page: Page): Promise<boolean> {
  return page.evaluate('document.documentElement.scrollWidth > document.documentElement.clientWidth');
}

/** Presses Tab until the focused element matches, and returns its HTML. */
export async function tabTo(page: Page, wanted: (html: string) => boolean): Promise<string> {
  const passed: string[] = [];
  for (let i = 0; i < 120; i++) {
    await page.keyboard.press('Tab');
    const html = await focused(page);
    if (wanted(html)) return html;
    passed.push(html.slice(0, 80));
  }
  throw new Error(`The focus never got there. It was at:\n${passed.join('\n')}`);
}

/** The beginning of the HTML of the focused element. */
export async function focused(page: Page): Promise<string> {
  return (await page.evaluate('document.activeElement?.outerHTML.slice(0, 1000) ?? ""')) as string;
}
