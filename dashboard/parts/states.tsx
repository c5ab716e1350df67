import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Spinner from '@cloudscape-design/components/spinner';
import type { ReactNode } from 'react';
import type { ApiError } from '../api.ts';
import type { Loaded } from '../use-data.ts';

/** Data is loading. */
export function Loading({ what }: { what: string }) {
  return (
    <Box textAlign="center" padding="l" color="text-status-inactive">
      <span role="status">
        <Spinner /> Loading {what}…
      </span>
    </Box>
  );
}

/** An error with its remedy, and a button to retry if that may help. */
export function Problem({
  error,
  retry,
  retrying = false,
}: {
  error: ApiError;
  retry?: (() => void) | undefined;
  /** An attempt is in progress: another click would only start over. */
  retrying?: boolean;
}) {
  return (
    <Alert
      type={error.status === 403 || error.status <= 0 ? 'warning' : 'error'}
      header={error.title}
      action={
        retry && (
          <Button onClick={retry} loading={retrying}>
            Try again
          </Button>
        )
      }
    >
      {error.message} {error.remedy}
    </Alert>
  );
}

/** An empty state, with how to change it. */
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

/** Placeholder for a value that could not be loaded, or has not loaded yet. */
export const UNKNOWN = '…';

/** The deployment has no target. */
export function NoTargets() {
  return (
    <Empty title="No targets configured">
      An administrator configures targets in cdk.json and deploys the stack.
    </Empty>
  );
}

/** A page with only a heading and a text. */
export function Titled({ title, children }: { title: string; children: ReactNode }) {
  return (
    <SpaceBetween size="m">
      <Header variant="h1">{title}</Header>
      {children}
    </SpaceBetween>
  );
}

/** Shows loaded data as soon as it is available, with a notice about a failed refresh. */
export function Show<T>({
  loaded,
  what,
  title,
  children,
}: {
  loaded: Loaded<T>;
  /** The subject, for `Loading …`. */
  what: string;
  /** The page's heading until data is available; for pages whose own heading is derived from the data. */
  title?: string;
  children: (data: T) => ReactNode;
}) {
  const { data, error, reload, loading } = loaded;
  const problem = error && <Problem error={error} retry={reload} retrying={loading} />;
  if (data === undefined) {
    const placeholder = problem ?? <Loading what={what} />;
    return title === undefined ? placeholder : <Titled title={title}>{placeholder}</Titled>;
  }
  if (!problem) return children(data);
  return (
    <SpaceBetween size="m">
      {problem}
      {children(data)}
    </SpaceBetween>
  );
}
