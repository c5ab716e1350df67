import Flashbar, { type FlashbarProps } from '@cloudscape-design/components/flashbar';
import { createContext, type ReactNode, use, useCallback, useMemo, useState } from 'react';
import { asApiError } from './use-data.ts';

/** Maximum number of notices; older ones are removed. */
const NOTICES_MAX = 5;

export interface Notice {
  readonly type: 'success' | 'error' | 'warning' | 'info';
  readonly header: string;
  readonly content?: ReactNode;
}

export interface Notices {
  /** Shows a notice above the page until the user closes it. A notice with the same id is replaced. */
  notify(notice: Notice, id?: string): void;
  /** Shows the failure of a user's action. */
  fail(what: string, error: unknown): void;
}

const NoticesContext = createContext<Notices | undefined>(undefined);
const ItemsContext = createContext<readonly FlashbarProps.MessageDefinition[]>([]);

/** Shows the results of the user's actions, on whichever page they are by then. */
export function useNotices(): Notices {
  const notices = use(NoticesContext);
  if (!notices) throw new Error('useNotices is called outside of NoticesProvider.');
  return notices;
}

export function NoticesProvider({ children }: { children: ReactNode }) {
  const [items, setItems] = useState<readonly FlashbarProps.MessageDefinition[]>([]);
  const notify = useCallback((notice: Notice, id: string = crypto.randomUUID()) => {
    const close = () => setItems((old) => old.filter((item) => item.id !== id));
    const item: FlashbarProps.MessageDefinition = {
      ...notice,
      id,
      dismissible: true,
      dismissLabel: `Close: ${notice.header}`,
      onDismiss: close,
      ariaRole: notice.type === 'error' ? 'alert' : 'status',
    };
    setItems((old) => [item, ...old.filter((other) => other.id !== id)].slice(0, NOTICES_MAX));
  }, []);
  const notices = useMemo<Notices>(
    () => ({
      notify,
      fail(what, error) {
        const { message, remedy, status } = asApiError(error);
        // The sign-in page reports it already.
        if (status !== 401) notify({ type: 'error', header: what, content: `${message} ${remedy}` });
      },
    }),
    [notify],
  );
  return (
    <NoticesContext value={notices}>
      <ItemsContext value={items}>{children}</ItemsContext>
    </NoticesContext>
  );
}

/** The container of the notices. */
export function NoticesBar() {
  return <Flashbar items={[...use(ItemsContext)]} stackItems />;
}
