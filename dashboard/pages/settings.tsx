import Badge from '@cloudscape-design/components/badge';
import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import Container from '@cloudscape-design/components/container';
import Header from '@cloudscape-design/components/header';
import KeyValuePairs from '@cloudscape-design/components/key-value-pairs';
import Link from '@cloudscape-design/components/link';
import SpaceBetween from '@cloudscape-design/components/space-between';
import StatusIndicator from '@cloudscape-design/components/status-indicator';
import Table from '@cloudscape-design/components/table';
import type { ReactNode } from 'react';
import { policyText } from '../../cli/format.ts';
import type { Deployment as TheDeployment } from '../../shared/operations/describe-deployment.ts';
import type { KeyList } from '../../shared/operations/operation.ts';
import { storeName } from '../job/store-bars.tsx';
import { Command, Copyable } from '../parts/command.tsx';
import { Empty, NoTargets, Problem, Show, UNKNOWN } from '../parts/states.tsx';
import { Ago, Time } from '../parts/time.tsx';
import { href } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';

const HEALTH_EVERY_MS = 30_000;

/** The deployment: health, targets, keys. Read-only: changes are made in cdk.json and in its secrets. */
export default function Settings() {
  const { api } = useSession();
  const deployment = useData('deployment', api.deployment);
  const overview = useData('overview', api.overview);
  const reached = (target: string) => {
    const at = overview.data?.targets.find((found) => found.target === target)?.newest?.completed_at;
    if (at !== undefined) return <Ago value={at} />;
    return overview.data ? 'Not yet' : UNKNOWN;
  };
  return (
    <SpaceBetween size="l">
      <Header variant="h1" description="Configured in cdk.json. Connections and keys are in Secrets Manager.">
        Settings
      </Header>
      <HealthBox />
      {overview.error && <Problem error={overview.error} retry={overview.reload} />}
      <Show loaded={deployment} what="the deployment">
        {(found) => (
          <SpaceBetween size="l">
            <Targets targets={found.targets} reached={reached} />
            <Deployment deployment={found} />
          </SpaceBetween>
        )}
      </Show>
      <Keys />
    </SpaceBetween>
  );
}

function HealthBox() {
  const { api } = useSession();
  const health = useData('health', api.health, HEALTH_EVERY_MS);
  return (
    <Container
      header={
        <Header
          variant="h2"
          actions={
            <Button
              onClick={health.reload}
              loading={health.loading}
              iconName="refresh"
              ariaLabel="Check again"
            />
          }
        >
          Health
        </Header>
      }
      footer={<Command line="ngbak doctor" />}
    >
      <Show loaded={health} what="the health checks">
        {({ checks }) => (
          <KeyValuePairs
            columns={3}
            minColumnWidth={180}
            items={checks.map(({ name, ok, message }) => ({
              label: sentence(name),
              value: <StatusIndicator type={ok ? 'success' : 'error'}>{message}</StatusIndicator>,
            }))}
          />
        )}
      </Show>
    </Container>
  );
}

interface TargetsProps extends Pick<TheDeployment, 'targets'> {
  /** The time of the last response from the stores of a target: the end of its newest backup. */
  readonly reached: (target: string) => ReactNode;
}

function Targets({ targets, reached }: TargetsProps) {
  if (targets.length === 0) return <NoTargets />;
  return targets.map(({ name, profile, stores, hooks, limits }) => {
    return (
      <Container
        key={name}
        header={
          <Header variant="h2" description={`Profile: ${profile}`}>
            Target <bdi>{name}</bdi>
          </Header>
        }
      >
        <SpaceBetween size="m">
          <KeyValuePairs
            columns={3}
            minColumnWidth={150}
            items={[
              ...stores.map(({ store, kind }) => ({ label: storeName(store), value: kind })),
              { label: 'Writers during a backup', value: hooks ? 'Paused by hooks' : 'Not paused' },
              { label: 'All stores last reached', value: reached(name) },
            ]}
          />
          {limits.length > 0 && (
            <div>
              <Box variant="awsui-key-label">Limitations</Box>
              <ul>
                {limits.map((limit) => (
                  <li key={limit}>{limit}</li>
                ))}
              </ul>
            </div>
          )}
        </SpaceBetween>
      </Container>
    );
  });
}

function Deployment({ deployment }: { deployment: TheDeployment }) {
  const { version, region, account, bucket } = deployment;
  const { api } = useSession();
  const { data: retention, error, reload } = useData('retention', api.showRetention);
  return (
    <Container
      header={<Header variant="h2">Deployment</Header>}
      footer={error && <Problem error={error} retry={reload} />}
    >
      <KeyValuePairs
        columns={3}
        minColumnWidth={150}
        items={[
          { label: 'Version', value: version },
          { label: 'Region', value: region },
          { label: 'Account', value: account },
          { label: 'Bucket', value: <Copyable text={bucket} what="name of the bucket" /> },
          {
            label: 'Retention',
            value: (
              <Link href={href(['schedules'])}>
                {retention?.policy ? policyText(retention.policy) : UNKNOWN}
              </Link>
            ),
          },
          {
            label: 'HTTP API',
            value: (
              <Link href="./api/v1/docs" external externalIconAriaLabel="opens in a new tab">
                Reference
              </Link>
            ),
          },
        ]}
      />
    </Container>
  );
}

function Keys() {
  const { api, me, refusal, signOut } = useSession();
  const refused = refusal('keys');
  const keys = useData(refused === undefined ? 'keys' : undefined, api.keys);
  return (
    <SpaceBetween size="l">
      <Container
        header={
          <Header variant="h2" actions={<Button onClick={signOut}>Sign out</Button>}>
            Your access
          </Header>
        }
      >
        <KeyValuePairs
          columns={2}
          items={[
            { label: 'Key name', value: <bdi>{me.name}</bdi> },
            { label: 'Role', value: ROLE_TEXTS[me.role] },
          ]}
        />
      </Container>
      {refused !== undefined ? (
        <Container header={<Header variant="h2">Keys and roles</Header>}>{refused}</Container>
      ) : (
        <Show loaded={keys} what="the keys">
          {(list) => <KeyTable list={list} />}
        </Show>
      )}
    </SpaceBetween>
  );
}

const ROLE_TEXTS = {
  viewer: 'Viewer: sees backups and jobs',
  operator: 'Operator: also backs up, restores and downloads',
  admin: 'Admin: also deletes, and lists API keys',
} as const;

function KeyTable({ list: { keys, jwt } }: { list: KeyList }) {
  return (
    <Table
      header={
        <Header variant="h2" counter={`(${keys.length})`} description="Only hashes of keys are stored.">
          Keys and roles
        </Header>
      }
      items={keys}
      ariaLabels={{ tableLabel: 'Keys and roles' }}
      columnDefinitions={[
        { id: 'name', header: 'Name', isRowHeader: true, cell: ({ name }) => <bdi>{name}</bdi> },
        {
          id: 'role',
          header: 'Role',
          cell: ({ role }) => (
            <Badge color={role === 'admin' ? 'red' : role === 'operator' ? 'blue' : 'grey'}>{role}</Badge>
          ),
        },
        {
          id: 'end',
          header: 'Expires',
          cell: ({ expires_at }) => (expires_at === undefined ? 'Never' : <Time value={expires_at} />),
        },
      ]}
      empty={<Empty title="No API keys" />}
      footer={
        <SpaceBetween size="xs">
          {jwt && (
            <Box fontSize="body-s">
              JSON Web Tokens issued by <code>{jwt.issuer}</code> for <code>{jwt.audience}</code> are accepted
              too. The claim <code>{jwt.role_claim}</code> contains the role.
            </Box>
          )}
          <Command line="ngbak key create NAME ROLE" />
        </SpaceBetween>
      }
    />
  );
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
