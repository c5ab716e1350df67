import AppLayout from '@cloudscape-design/components/app-layout';
import { I18nProvider } from '@cloudscape-design/components/i18n';
import messages from '@cloudscape-design/components/i18n/messages/all.en';
import Link from '@cloudscape-design/components/link';
import SideNavigation, { type SideNavigationProps } from '@cloudscape-design/components/side-navigation';
import TopNavigation, { type TopNavigationProps } from '@cloudscape-design/components/top-navigation';
import { type ComponentType, lazy, Suspense, useEffect, useState } from 'react';
import { JobWatcher } from './job/watcher.tsx';
import { chooseMode, MODES, type ModeChoice, modeChoice } from './mode.ts';
import { NoticesBar, NoticesProvider } from './notices.tsx';
import { Guard } from './parts/guard.tsx';
import { Loading, Titled } from './parts/states.tsx';
import type { PageProps } from './router.ts';
import { href, useRoute } from './router.ts';
import { SessionGate, SessionProvider, useMaybeSession } from './session.tsx';

/** The pages by the first part of their address; each is loaded when it is first opened. */
const PAGES: Record<string, ComponentType<PageProps>> = {
  '': lazy(() => import('./pages/home.tsx')),
  backups: lazy(() => import('./pages/backups.tsx')),
  backup: lazy(() => import('./pages/backup.tsx')),
  compare: lazy(() => import('./pages/compare.tsx')),
  'create-backup': lazy(() => import('./pages/create-backup.tsx')),
  restore: lazy(() => import('./pages/restore.tsx')),
  jobs: lazy(() => import('./pages/jobs.tsx')),
  job: lazy(() => import('./pages/job.tsx')),
  drills: lazy(() => import('./pages/drills.tsx')),
  schedules: lazy(() => import('./pages/schedules.tsx')),
  settings: lazy(() => import('./pages/settings.tsx')),
};

const NAVIGATION: SideNavigationProps.Item[] = [
  { type: 'link', text: 'Home', href: href([]) },
  { type: 'link', text: 'Backups', href: href(['backups']) },
  { type: 'link', text: 'Create backup', href: href(['create-backup']) },
  { type: 'link', text: 'Restore', href: href(['restore']) },
  { type: 'link', text: 'Jobs', href: href(['jobs']) },
  { type: 'link', text: 'Drills', href: href(['drills']) },
  { type: 'link', text: 'Schedules and retention', href: href(['schedules']) },
  { type: 'divider' },
  { type: 'link', text: 'Settings', href: href(['settings']) },
  { type: 'link', text: 'HTTP API', href: './api/v1/docs', external: true },
];

/** Detail pages, by the page that the navigation marks for them. */
const PARENTS: Record<string, string> = { backup: 'backups', compare: 'backups', job: 'jobs' };

export function App() {
  return (
    <I18nProvider locale="en" messages={[messages]}>
      <NoticesProvider>
        <SessionProvider>
          <Frame />
        </SessionProvider>
      </NoticesProvider>
    </I18nProvider>
  );
}

function Frame() {
  const route = useRoute();
  const [open, setOpen] = useState(() => matchMedia('(min-width: 1000px)').matches);
  const [first = ''] = route.parts;
  useEffect(() => {
    // On a narrow screen, the navigation would cover the page that was just chosen.
    if (route.href && !matchMedia('(min-width: 689px)').matches) setOpen(false);
  }, [route.href]);
  useEffect(() => {
    // On narrow screens Cloudscape gives its navigation an attribute that a <nav> must not have.
    document.querySelector('nav[aria-orientation]')?.removeAttribute('aria-orientation');
  });
  return (
    <>
      <div id="bar">
        <Bar />
      </div>
      <AppLayout
        headerSelector="#bar"
        toolsHide
        navigationOpen={open}
        onNavigationChange={({ detail }) => setOpen(detail.open)}
        navigation={
          <SideNavigation
            items={NAVIGATION}
            activeHref={href(first === '' ? [] : [PARENTS[first] ?? first])}
          />
        }
        notifications={<NoticesBar />}
        content={
          <SessionGate>
            <JobWatcher />
            <Guard key={first} what="This page" title="ngbak">
              <Suspense fallback={<Loading what="the page" />}>
                <Page route={route} />
              </Suspense>
            </Guard>
          </SessionGate>
        }
      />
    </>
  );
}

function Page({ route }: PageProps) {
  const [first = ''] = route.parts;
  const Found = Object.hasOwn(PAGES, first) ? PAGES[first] : undefined;
  if (Found) return <Found route={route} />;
  return (
    <Titled title="Page not found">
      <Link href={href([])}>Home</Link>
    </Titled>
  );
}

const MODE_TEXTS: Record<ModeChoice, string> = { system: 'System default', light: 'Light', dark: 'Dark' };

function Bar() {
  const session = useMaybeSession();
  const [mode, setMode] = useState(modeChoice);
  const utilities: TopNavigationProps.Utility[] = [
    {
      type: 'menu-dropdown',
      iconName: 'settings',
      title: 'Appearance',
      ariaLabel: 'Appearance',
      items: MODES.map((id) => ({ id, itemType: 'checkbox', text: MODE_TEXTS[id], checked: id === mode })),
      onItemClick: ({ detail }) => {
        const chosen = MODES.find((id) => id === detail.id) ?? 'system';
        chooseMode(chosen);
        setMode(chosen);
      },
    },
  ];
  if (session) {
    const { name, role } = session.me;
    utilities.push({
      type: 'menu-dropdown',
      iconName: 'user-profile',
      text: name,
      description: role,
      ariaLabel: `Signed in as ${name}, ${role}`,
      items: [{ id: 'sign-out', text: 'Sign out' }],
      onItemClick: session.signOut,
    });
  }
  return <TopNavigation identity={{ href: href([]), title: 'ngbak' }} utilities={utilities} />;
}
