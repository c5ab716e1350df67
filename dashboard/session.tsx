import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useState } from 'react';
import type { Role } from '../shared/api/access.ts';
import type { Me } from '../shared/api/routes/deployment.ts';
import { ApiClient, ApiError } from './api.ts';
import { SignIn } from './pages/sign-in.tsx';
import { Loading, Problem } from './parts/states.tsx';

/** The key lives as long as the tab: a closed tab has forgotten it, and no other tab sees it. */
const STORAGE_KEY = 'ngbak.key';
const ROLES: readonly Role[] = ['viewer', 'operator', 'admin'];

export interface Session {
  readonly api: ApiClient;
  readonly me: Me;
  /** Why the user may not do what needs this role, as text for a disabled control; undefined where they may. */
  refusal(needed: Role): string | undefined;
  signOut(): void;
}

interface Gate {
  readonly session?: Session | undefined;
  /** What the page shows while nobody is signed in. */
  readonly instead: ReactNode;
}

const GateContext = createContext<Gate>({ instead: null });

/** Who is signed in. Only below {@link SessionGate}, so there is always somebody. */
export function useSession(): Session {
  const { session } = use(GateContext);
  if (!session) throw new Error('useSession is called outside of SessionGate.');
  return session;
}

/** Who is signed in, if anybody. */
export function useMaybeSession(): Session | undefined {
  return use(GateContext).session;
}

/** Shows its children once somebody is signed in, and the sign-in until then: the address stays, so they come back to it. */
export function SessionGate({ children }: { children: ReactNode }) {
  const { session, instead } = use(GateContext);
  return session ? children : instead;
}

/** Keeps who is signed in. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const [key, setKey] = useState(() => sessionStorage.getItem(STORAGE_KEY));
  const [me, setMe] = useState<Me>();
  const [ended, setEnded] = useState(false);
  const [error, setError] = useState<ApiError>();
  const [attempt, setAttempt] = useState(0);

  const leave = useCallback((refused: boolean) => {
    sessionStorage.removeItem(STORAGE_KEY);
    setKey(null);
    setMe(undefined);
    setError(undefined);
    setEnded(refused);
  }, []);
  const api = useMemo(() => (key === null ? undefined : new ApiClient(key, () => leave(true))), [key, leave]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `attempt` asks again
  useEffect(() => {
    if (!api) return;
    const abort = new AbortController();
    setError(undefined);
    api.me(abort.signal).then(setMe, (problem: unknown) => {
      if (problem instanceof ApiError && problem.status !== 401) setError(problem);
    });
    return () => abort.abort();
  }, [api, attempt]);

  const gate = useMemo<Gate>(() => {
    const session = api && me && makeSession(api, me, () => leave(false));
    const signIn = (entered: string) => {
      sessionStorage.setItem(STORAGE_KEY, entered);
      setEnded(false);
      setKey(entered);
    };
    if (error) {
      return { instead: <Problem error={error} retry={() => setAttempt((count) => count + 1)} /> };
    }
    const instead = api ? <Loading what="your role" /> : <SignIn ended={ended} signIn={signIn} />;
    return { session, instead };
  }, [api, me, error, ended, leave]);
  return <GateContext value={gate}>{children}</GateContext>;
}

function makeSession(api: ApiClient, me: Me, signOut: () => void): Session {
  return {
    api,
    me,
    refusal: (needed) =>
      ROLES.indexOf(me.role) >= ROLES.indexOf(needed)
        ? undefined
        : `This needs the role ${needed}; your key has the role ${me.role}.`,
    signOut,
  };
}
