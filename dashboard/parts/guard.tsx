import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import ErrorBoundary from '@cloudscape-design/components/error-boundary';
import type { ReactNode } from 'react';
import { Titled } from './states.tsx';

/**
 * Keeps what goes wrong in a part of a page to that part, and tells the way on. Its code may not have come: the network
 * broke, or a deployment has put newer files in its place.
 */
export function Guard({
  what,
  title,
  children,
}: {
  /** Begins the sentence: `The charts`. */
  what: string;
  /** The page's heading where the part is the whole of it. */
  title?: string;
  children: ReactNode;
}) {
  const fallback = (
    <Alert
      type="error"
      header={`${what} could not be displayed`}
      action={<Button onClick={() => location.reload()}>Reload</Button>}
    >
      Its code could not be loaded, or has a bug. Reload the page. If this happens again, please report it.
    </Alert>
  );
  return (
    <ErrorBoundary
      onError={({ error }) => console.error(error)}
      renderFallback={() => (title === undefined ? fallback : <Titled title={title}>{fallback}</Titled>)}
    >
      {children}
    </ErrorBoundary>
  );
}
