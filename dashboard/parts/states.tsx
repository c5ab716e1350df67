import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Spinner from '@cloudscape-design/components/spinner';
import type { ReactNode } from 'react';
import type { ApiError } from '../api.ts';
import type { Loaded } from '../use-data.ts';

/** Something is on its way. */
export function Loading({ what }: { what: string }) {
  return (
    <Box textAlign="center" padding="l" color="text-status-inactive">
      <span role="status">
        <Spinner /> Loading {what}…
      </span>
    </Box>
  );
}

/** What went wrong, and what to do; with a button to try again where that may help. */
export function Problem({ error, retry }: { error: ApiError; retry?: (() => void) | undefined }) {
  return (
    <Alert
      type={error.status === 403 || error.status <= 0 ? 'warning' : 'error'}
      header={error.title}
      action={retry && <Button onClick={retry}>Try again</Button>}
    >
      {error.message} {error.remedy}
    </Alert>
  );
}

/** There is nothing yet, and how that changes. */
export function Empty({
  title,
  children,
  action,
}: {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <Box textAlign="center" color="inherit" padding="l">
      <SpaceBetween size="xs">
        <Box variant="strong" color="inherit">
          {title}
        </Box>
        {children && <Box color="inherit">{children}</Box>}
        {action}
      </SpaceBetween>
    </Box>
  );
}

/** Shows what was loaded: the data as soon as there is any, with a word about an attempt that failed since. */
export function Show<T>({
  loaded,
  what,
  children,
}: {
  loaded: Loaded<T>;
  /** What it is, for `Loading …`. */
  what: string;
  children: (data: T) => ReactNode;
}) {
  const { data, error, reload } = loaded;
  if (data === undefined) return error ? <Problem error={error} retry={reload} /> : <Loading what={what} />;
  if (!error) return children(data);
  return (
    <SpaceBetween size="m">
      <Problem error={error} retry={reload} />
      {children(data)}
    </SpaceBetween>
  );
}
