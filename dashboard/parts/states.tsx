import Alert from '@cloudscape-design/components/alert';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Header from '@cloudscape-design/components/header';
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
export function Problem({
  error,
  retry,
  retrying = false,
}: {
  error: ApiError;
  retry?: (() => void) | undefined;
  /** An attempt is on its way: pressing again would only start over. */
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

/** Stands where a value would be that could not be loaded, or is not there yet. */
export const UNKNOWN = '…';

/** The deployment was made without a target. */
export function NoTargets() {
  return (
    <Empty title="No targets configured">
      An administrator configures targets in cdk.json and deploys the stack.
    </Empty>
  );
}

/** A page that is nothing but a heading and a word. */
export function Titled({ title, children }: { title: string; children: ReactNode }) {
  return (
    <SpaceBetween size="m">
      <Header variant="h1">{title}</Header>
      {children}
    </SpaceBetween>
  );
}

/** Shows what was loaded: the data as soon as there is any, with a word about an attempt that failed since. */
export function Show<T>({
  loaded,
  what,
  title,
  children,
}: {
  loaded: Loaded<T>;
  /** What it is, for `Loading …`. */
  what: string;
  /** The page's heading until there is data; for pages whose own heading is made from the data. */
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
