import Alert from '@cloudscape-design/components/alert';
import Button from '@cloudscape-design/components/button';
import ErrorBoundary from '@cloudscape-design/components/error-boundary';
import type { ReactNode } from 'react';
import { Titled } from './states.tsx';

/**
 * Limits a failure to a part of a page, and shows how to continue. Its code may not have loaded: the network failed, or
 * a deployment has replaced the files with newer ones.
 */
export function Guard({
  what,
  title,
  children,
}: {
  /** The subject of the sentence: `The charts`. */
  what: string;
  /** The page's heading if the part is the whole page. */
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
