import { createContext, type ReactNode, use, useCallback, useMemo, useState } from 'react';
import type { StatefulCall, SubjectOf } from '../shared/core/allowed.ts';
import type { CallName } from '../shared/core/calls.ts';
import type { Me } from '../shared/operations/operation.ts';
import { type ApiClient, apiClient } from './api.ts';
import { SignIn } from './pages/sign-in.tsx';
import { refusalText } from './parts/refusal.ts';
import { Loading, Problem, Titled } from './parts/states.tsx';
import { useData } from './use-data.ts';

/** The key lives as long as the tab: a closed tab has forgotten it, and no other tab sees it. */
const STORAGE_KEY = 'ngbak.key';

export interface Session {
  readonly api: ApiClient;
  readonly me: Me;
  /**
   * Why the user may not do something with a thing, as text for a disabled control: the words that the API would refuse it with.
   * Undefined where they may.
   */
  refusal<Name extends CallName>(
    name: Name,
    subject?: Name extends StatefulCall ? SubjectOf<Name> : never,
  ): string | undefined;
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
  /** How often somebody has signed in: what was found out for one is not told to the next. */
  const [signIns, setSignIns] = useState(0);
  const [ended, setEnded] = useState(false);

  const leave = useCallback((refused: boolean) => {
    sessionStorage.removeItem(STORAGE_KEY);
    setKey(null);
    setEnded(refused);
  }, []);
  const api = useMemo(() => (key === null ? undefined : apiClient(key, () => leave(true))), [key, leave]);
  const loaded = useData(api && `session ${signIns}`, async (signal) => api?.me(signal));
  const { data: me, error, reload } = loaded;

  const gate = useMemo<Gate>(() => {
    if (!api) {
      const signIn = (entered: string) => {
        sessionStorage.setItem(STORAGE_KEY, entered);
        setEnded(false);
        setSignIns((count) => count + 1);
        setKey(entered);
      };
      return { instead: <SignIn ended={ended} signIn={signIn} /> };
    }
    if (me) return { session: makeSession(api, me, () => leave(false)), instead: null };
    const placeholder = error ? <Problem error={error} retry={reload} /> : <Loading what="your role" />;
    return { instead: <Titled title="Sign in">{placeholder}</Titled> };
  }, [api, me, error, reload, ended, leave]);
  return <GateContext value={gate}>{children}</GateContext>;
}

function makeSession(api: ApiClient, me: Me, signOut: () => void): Session {
  return {
    api,
    me,
    refusal: (name, subject) => refusalText(me, name, subject),
    signOut,
  };
}
