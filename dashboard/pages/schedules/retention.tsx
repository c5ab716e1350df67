import Box from '@cloudscape-design/components/box';
import Button from '@cloudscape-design/components/button';
import ColumnLayout from '@cloudscape-design/components/column-layout';
import Container from '@cloudscape-design/components/container';
import FormField from '@cloudscape-design/components/form-field';
import Header from '@cloudscape-design/components/header';
import Input from '@cloudscape-design/components/input';
import SpaceBetween from '@cloudscape-design/components/space-between';
import { useState } from 'react';
import { bytes, count, policyText } from '../../../cli/format.ts';
import type { RetentionPolicy } from '../../../shared/core/retention-policy.ts';
import type { Pruned } from '../../../shared/operations/prune.ts';
import type { RetentionSetting } from '../../../shared/operations/retention.ts';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { Command } from '../../parts/command.tsx';
import { Question } from '../../parts/question.tsx';
import { Show } from '../../parts/states.tsx';
import { Ago } from '../../parts/time.tsx';
import { useSession } from '../../session.tsx';
import { type Loaded, useData } from '../../use-data.ts';
import { RetentionDecisions } from './retention-decisions.tsx';

const RULES: readonly (readonly [keyof RetentionPolicy, string])[] = [
  ['keep_last', 'Newest'],
  ['keep_daily', 'Daily'],
  ['keep_weekly', 'Weekly'],
  ['keep_monthly', 'Monthly'],
  ['keep_yearly', 'Yearly'],
];
/** Largest number that the policy accepts: ten years of days. */
const KEEP_MAX = 3660;

type Typed = Record<keyof RetentionPolicy, string>;

/**
 * The retention policy: the current one, a preview of what another one would keep and delete, and only then the change.
 */
export function Retention() {
  const { api } = useSession();
  const setting = useData('retention', api.showRetention);
  return (
    <Show loaded={setting} what="the retention policy">
      {({ policy }) => policy && <PolicyForm setting={setting} policy={policy} />}
    </Show>
  );
}

interface PolicyFormProps {
  readonly setting: Loaded<RetentionSetting>;
  /** The current policy. */
  readonly policy: RetentionPolicy;
}

function PolicyForm({ setting: { data: setting, reload, replace }, policy }: PolicyFormProps) {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const [typed, setTyped] = useState<Typed>(() => asTyped(policy));
  const [busy, setBusy] = useState<'preview' | 'save'>();
  const [found, setFound] = useState<{ pruned: Pruned; of: string }>();
  const [asking, setAsking] = useState(false);
  const wrong = RULES.filter(([key]) => !isCount(typed[key]));
  const wanted = Object.fromEntries(RULES.map(([key]) => [key, Number(typed[key])])) as RetentionPolicy;
  const same = (other: RetentionPolicy) => RULES.every(([key]) => typed[key] === String(other[key]));
  const { deployed, source, version = '' } = setting ?? {};
  const toDeployed = deployed !== undefined && same(deployed);
  const previewed = found?.of === JSON.stringify(wanted) ? found.pruned : undefined;
  const going = previewed?.backups.filter(({ action }) => action === 'drop').length ?? 0;
  const why =
    refusal('setRetention') ??
    (same(policy) && !(toDeployed && source === 'set')
      ? 'This is the current policy.'
      : previewed === undefined
        ? 'Preview the change first.'
        : undefined);

  const preview = async () => {
    setBusy('preview');
    try {
      const of = JSON.stringify(wanted);
      setFound({ pruned: await api.prune({ dry_run: true, policy: wanted }), of });
    } catch (error) {
      fail('The preview failed', error);
    } finally {
      setBusy(undefined);
    }
  };
  const save = async () => {
    setBusy('save');
    try {
      // Values that equal those of cdk.json follow cdk.json from now on.
      replace(
        toDeployed
          ? await api.resetRetention({ version })
          : await api.setRetention({ policy: wanted, version }),
      );
      notify({ type: 'success', header: 'Retention policy changed' });
    } catch (error) {
      fail('The retention policy could not be changed', error);
      // Another user may have changed it; the input is kept.
      reload();
    } finally {
      setBusy(undefined);
      setAsking(false);
    }
  };
  return (
    <SpaceBetween size="m">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (wrong.length === 0) void preview();
        }}
      >
        <Container
          header={
            <Header
              variant="h2"
              description="How many backups of each target are kept. Backups that no rule keeps are deleted after the next backup, or within a day."
            >
              Retention
            </Header>
          }
          footer={
            <Command
              line={
                same(policy)
                  ? 'ngbak retention show'
                  : toDeployed
                    ? 'ngbak retention reset'
                    : commandOf(wanted)
              }
            />
          }
        >
          <SpaceBetween size="m">
            <Box>
              Current: {policyText(policy)},{' '}
              {source === 'set' && setting?.changed_at !== undefined ? (
                <>
                  set by <bdi>{setting.changed_by}</bdi>, <Ago value={setting.changed_at} />
                  {deployed && `; cdk.json says ${policyText(deployed)}`}.
                </>
              ) : (
                'from cdk.json.'
              )}
            </Box>
            <ColumnLayout columns={5} minColumnWidth={110}>
              {RULES.map(([key, label]) => (
                <FormField
                  key={key}
                  label={label}
                  errorText={isCount(typed[key]) ? undefined : `Enter a number from 0 to ${KEEP_MAX}.`}
                >
                  <Input
                    inputMode="numeric"
                    value={typed[key]}
                    onChange={({ detail }) => setTyped({ ...typed, [key]: detail.value })}
                  />
                </FormField>
              ))}
            </ColumnLayout>
            <SpaceBetween direction="horizontal" size="xs">
              <Button
                variant={previewed ? 'normal' : 'primary'}
                formAction="submit"
                loading={busy === 'preview'}
                disabled={wrong.length > 0}
              >
                Preview
              </Button>
              <Button
                variant={previewed ? 'primary' : 'normal'}
                formAction="none"
                loading={busy === 'save'}
                onClick={() => (going > 0 ? setAsking(true) : void save())}
                {...blocked(why)}
              >
                Save
              </Button>
              {!same(policy) && (
                <Button formAction="none" variant="link" onClick={() => setTyped(asTyped(policy))}>
                  Discard changes
                </Button>
              )}
              {source === 'set' && deployed && !toDeployed && (
                <Button formAction="none" variant="link" onClick={() => setTyped(asTyped(deployed))}>
                  Reset to cdk.json
                </Button>
              )}
            </SpaceBetween>
          </SpaceBetween>
        </Container>
      </form>
      {previewed && <RetentionDecisions pruned={previewed} counts={same(policy)} />}
      <Question
        visible={asking}
        header="Keep fewer backups?"
        no={{ text: 'Cancel', onClick: () => setAsking(false) }}
        yes={{ text: 'Keep fewer', onClick: () => void save(), loading: busy === 'save' }}
      >
        {count(going)} of {count(previewed?.backups.length ?? 0)} backups,{' '}
        {bytes(previewed?.bytes_freed ?? 0)}, will be deleted after the next backup, or within a day. This
        can’t be undone.
      </Question>
    </SpaceBetween>
  );
}

function asTyped(policy: RetentionPolicy): Typed {
  return Object.fromEntries(RULES.map(([key]) => [key, String(policy[key])])) as Typed;
}

function isCount(text: string): boolean {
  return /^[0-9]{1,4}$/.test(text) && Number(text) <= KEEP_MAX;
}

function commandOf(policy: RetentionPolicy): string {
  return `ngbak retention set ${RULES.map(([key]) => `--${key.replace('_', '-')} ${policy[key]}`).join(' ')}`;
}
