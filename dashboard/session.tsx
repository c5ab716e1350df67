import { createContext, type ReactNode, use, useCallback, useMemo, useState } from 'react';
import type { StatefulCall, SubjectOf } from '../shared/core/allowed.ts';
import type { CallName } from '../shared/core/calls.ts';
import type { Me } from '../shared/operations/operation.ts';
import { type ApiClient, apiClient } from './api.ts';
import { SignIn } from './pages/sign-in.tsx';
import { refusalText } from './parts/refusal.ts';
import { Loading, Problem, Titled } from './parts/states.tsx';
import { useData } from './use-data.ts';

/** The key is kept as long as the tab: it is lost when the tab is closed, and other tabs have no access. */
const STORAGE_KEY = 'ngbak.key';

export interface Session {
  readonly api: ApiClient;
  readonly me: Me;
  /**
   * The reason why the user may not perform an action, as text for a disabled control: the message with which the API
   * would refuse it. Undefined if it is allowed.
   */
  refusal<Name extends CallName>(
    name: Name,
    subject?: Name extends StatefulCall ? SubjectOf<Name> : never,
  ): string | undefined;
  signOut(): void;
}

interface Gate {
  readonly session?: Session | undefined;
  /** The page without a signed-in user. */
  readonly instead: ReactNode;
}

const GateContext = createContext<Gate>({ instead: null });

/** The signed-in user. Only below {@link SessionGate}, so it is always defined. */
export function useSession(): Session {
  const { session } = use(GateContext);
  if (!session) throw new Error('useSession is called outside of SessionGate.');
  return session;
}

/** The signed-in user, if any. */
export function useMaybeSession(): Session | undefined {
  return use(GateContext).session;
}

/**
 * Shows its children after sign-in, and the sign-in page until then: the address does not change, so the user returns
 * to it.
 */
export function SessionGate({ children }: { children: ReactNode }) {
  const { session, instead } = use(GateContext);
  return session ? children : instead;
}

/** Stores the signed-in user. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const [key, setKey] = useState(() => sessionStorage.getItem(STORAGE_KEY));
  /** Number of sign-ins: data loaded for one user is not shown to the next. */
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
