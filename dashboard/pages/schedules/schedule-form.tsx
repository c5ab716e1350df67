import Button from '@cloudscape-design/components/button';
import Checkbox from '@cloudscape-design/components/checkbox';
import Container from '@cloudscape-design/components/container';
import DatePicker from '@cloudscape-design/components/date-picker';
import Form from '@cloudscape-design/components/form';
import FormField from '@cloudscape-design/components/form-field';
import Header from '@cloudscape-design/components/header';
import Input from '@cloudscape-design/components/input';
import Multiselect from '@cloudscape-design/components/multiselect';
import RadioGroup from '@cloudscape-design/components/radio-group';
import Select from '@cloudscape-design/components/select';
import SpaceBetween from '@cloudscape-design/components/space-between';
import TimeInput from '@cloudscape-design/components/time-input';
import { useState } from 'react';
import type { Rehearsal } from '../../../shared/catalog/drill-request.ts';
import type { Deployment } from '../../../shared/operations/describe-deployment.ts';
import type { ScheduleView } from '../../../shared/operations/list-schedules.ts';
import { BackupFields, TargetField } from '../../backup-form/backup-fields.tsx';
import { draftOf, EMPTY_DRAFT, inputOf, problemsOf } from '../../backup-form/draft.ts';
import { useNotices } from '../../notices.tsx';
import { blocked } from '../../parts/blocked.ts';
import { href, navigate } from '../../router.ts';
import { useSession } from '../../session.tsx';
import { DAILY, DAYS, dayName, expressionOf, problemOf, type TimingDraft, timingOf } from './timing.ts';

/** Longest flexible window, in minutes: the limit of AWS is a day. */
const FLEXIBLE_MAX = 1440;

/** Creates a schedule, or edits an existing one. */
export function ScheduleForm({ deployment, schedule }: { deployment: Deployment; schedule?: ScheduleView }) {
  const { api, refusal } = useSession();
  const { notify, fail } = useNotices();
  const only = deployment.targets.length === 1 ? deployment.targets[0]?.name : undefined;
  const [name, setName] = useState(schedule?.name ?? '');
  const [timing, setTiming] = useState<TimingDraft>(() => (schedule ? timingOf(schedule.expression) : DAILY));
  const [zone, setZone] = useState(schedule?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone);
  const [flexible, setFlexible] = useState(String(schedule?.flexible_minutes ?? 0));
  const [description, setDescription] = useState(schedule?.description ?? '');
  const [enabled, setEnabled] = useState(schedule?.enabled ?? true);
  const [draft, setDraft] = useState(() =>
    schedule
      ? draftOf(schedule.backup ?? { target: schedule.drill?.target ?? '' })
      : { ...EMPTY_DRAFT, target: only ?? '' },
  );
  const [rehearsal, setRehearsal] = useState<Rehearsal>(schedule?.drill?.rehearsal ?? 'if_needed');
  const [kind, setKind] = useState<ScheduleView['kind']>(schedule?.kind ?? 'backup');
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const problems = {
    name: /^[a-zA-Z0-9_-]{1,64}$/.test(name) ? undefined : 'Up to 64 letters, digits, “-” and “_”.',
    timing: problemOf(timing),
    flexible:
      /^[0-9]{1,4}$/.test(flexible) && Number(flexible) <= FLEXIBLE_MAX
        ? undefined
        : `Enter a number of minutes from 0 to ${FLEXIBLE_MAX}.`,
    description: description.length > 512 ? 'At most 512 characters.' : undefined,
  };
  const errors = tried
    ? problems
    : { name: undefined, timing: undefined, flexible: undefined, description: undefined };
  const wrong =
    Object.values(problems).some((problem) => problem !== undefined) ||
    (kind === 'backup' && Object.keys(problemsOf(draft)).length > 0);
  const why = refusal('createSchedule') ?? (draft.target === '' ? 'Choose a target first.' : undefined);
  const save = async () => {
    setTried(true);
    if (wrong || why !== undefined) return;
    setBusy(true);
    const { type, codec, level } = schedule?.backup ?? {};
    const settings = {
      expression: expressionOf(timing),
      time_zone: zone,
      flexible_minutes: Number(flexible),
      enabled,
      description,
      // Properties without a field in this form are not changed.
      ...(kind === 'drill'
        ? { drill: { target: draft.target, rehearsal } }
        : {
            backup: {
              ...(type ? { type } : {}),
              ...(codec ? { codec } : {}),
              ...(level ? { level } : {}),
              ...inputOf(draft),
            },
          }),
    };
    try {
      await (schedule ? api.changeSchedule(name, settings) : api.createSchedule({ name, ...settings }));
      notify({ type: 'success', header: schedule ? `Schedule ${name} changed` : `Schedule ${name} created` });
      navigate(href(['schedules']));
    } catch (error) {
      fail('The schedule could not be saved', error);
      setBusy(false);
    }
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <Form
        header={
          <Header variant="h1">
            {schedule ? (
              <>
                Schedule <bdi>{schedule.name}</bdi>
              </>
            ) : (
              'Create schedule'
            )}
          </Header>
        }
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button variant="link" formAction="none" href={href(['schedules'])}>
              Back
            </Button>
            <Button variant="primary" formAction="submit" loading={busy} {...blocked(why)}>
              {schedule ? 'Save' : 'Create schedule'}
            </Button>
          </SpaceBetween>
        }
      >
        <SpaceBetween size="l">
          <Container header={<Header variant="h2">When</Header>}>
            <SpaceBetween size="l">
              {!schedule && (
                <FormField label="Name" errorText={errors.name}>
                  <Input value={name} spellcheck={false} onChange={({ detail }) => setName(detail.value)} />
                </FormField>
              )}
              <WhenFields timing={timing} problem={errors.timing} onChange={setTiming} />
              {timing.kind !== 'rate' && <ZoneField zone={zone} onChange={setZone} />}
              <FormField
                label="Flexible window, in minutes"
                description="A run may start up to this much later, to spread load."
                errorText={errors.flexible}
              >
                <Input
                  inputMode="numeric"
                  value={flexible}
                  onChange={({ detail }) => setFlexible(detail.value)}
                />
              </FormField>
              <FormField label="Description" errorText={errors.description}>
                <Input value={description} onChange={({ detail }) => setDescription(detail.value)} />
              </FormField>
              <Checkbox checked={enabled} onChange={({ detail }) => setEnabled(detail.checked)}>
                Enabled
              </Checkbox>
            </SpaceBetween>
          </Container>
          <Container header={<Header variant="h2">What</Header>}>
            <SpaceBetween size="l">
              {!schedule && (
                <FormField label="Starts">
                  <RadioGroup
                    value={kind}
                    items={STARTS}
                    onChange={({ detail }) => setKind(detail.value === 'drill' ? 'drill' : 'backup')}
                  />
                </FormField>
              )}
              {kind === 'drill' ? (
                <>
                  <TargetField draft={draft} deployment={deployment} onChange={setDraft} />
                  <FormField label="Rehearse only">
                    <RadioGroup
                      value={rehearsal}
                      items={REHEARSALS}
                      onChange={({ detail }) =>
                        setRehearsal(
                          REHEARSALS.find(({ value }) => value === detail.value)?.value ?? 'if_needed',
                        )
                      }
                    />
                  </FormField>
                </>
              ) : (
                <BackupFields
                  draft={draft}
                  deployment={deployment}
                  showProblems={tried}
                  onChange={setDraft}
                />
              )}
            </SpaceBetween>
          </Container>
        </SpaceBetween>
      </Form>
    </form>
  );
}

/** A rehearsal restores nothing: it reads and parses the archive in the functions that would restore it. */
const REHEARSALS: readonly { value: Rehearsal; label: string; description: string }[] = [
  {
    value: 'if_needed',
    label: 'Without a scratch place',
    description: 'If the data cannot have other names, and no target for drills is configured.',
  },
  { value: 'always', label: 'Always', description: 'Nothing is written to any store.' },
  { value: 'never', label: 'Never', description: 'Without a scratch place, the drill fails.' },
];

const STARTS = [
  { value: 'backup', label: 'Backups' },
  {
    value: 'drill',
    label: 'Drills',
    description: 'Each restores the newest good backup to a scratch place, verifies it, and removes it.',
  },
];

const KINDS: readonly { value: TimingDraft['kind']; label: string }[] = [
  { value: 'daily', label: 'Every day' },
  { value: 'weekly', label: 'On selected days of the week' },
  { value: 'rate', label: 'At an interval' },
  { value: 'once', label: 'Once' },
  { value: 'own', label: 'Custom expression' },
];
const UNITS: readonly TimingDraft['unit'][] = ['minutes', 'hours', 'days'];

function WhenFields({
  timing,
  problem,
  onChange,
}: {
  timing: TimingDraft;
  problem: string | undefined;
  onChange: (timing: TimingDraft) => void;
}) {
  const set = (changes: Partial<TimingDraft>) => onChange({ ...timing, ...changes });
  const { kind } = timing;
  const units = UNITS.map((value) => ({ value, label: value }));
  const days = DAYS.map((value) => ({ value, label: dayName(value) }));
  return (
    <>
      <FormField label="How often">
        <Select
          selectedOption={KINDS.find(({ value }) => value === kind) ?? null}
          options={KINDS}
          onChange={({ detail }) =>
            set({ kind: KINDS.find(({ value }) => value === detail.selectedOption.value)?.value ?? 'daily' })
          }
        />
      </FormField>
      {kind === 'weekly' && (
        <FormField label="Days" errorText={timing.days.length === 0 ? problem : undefined}>
          <Multiselect
            placeholder="Choose days"
            selectedOptions={days.filter(({ value }) => timing.days.includes(value))}
            options={days}
            onChange={({ detail }) =>
              set({
                days: DAYS.filter((day) => detail.selectedOptions.some(({ value }) => value === day)),
              })
            }
          />
        </FormField>
      )}
      {kind === 'once' && (
        <FormField label="Day" errorText={timing.date === '' ? problem : undefined}>
          <DatePicker
            placeholder="YYYY/MM/DD"
            value={timing.date}
            onChange={({ detail }) => set({ date: detail.value })}
          />
        </FormField>
      )}
      {(kind === 'daily' || kind === 'weekly' || kind === 'once') && (
        <FormField label="Time" errorText={problem}>
          <TimeInput
            format="hh:mm"
            placeholder="hh:mm"
            value={timing.time}
            onChange={({ detail }) => set({ time: detail.value })}
          />
        </FormField>
      )}
      {kind === 'rate' && (
        <>
          <FormField label="Every" errorText={problem}>
            <Input
              inputMode="numeric"
              value={timing.every}
              onChange={({ detail }) => set({ every: detail.value })}
            />
          </FormField>
          <FormField label="Unit">
            <Select
              selectedOption={units.find(({ value }) => value === timing.unit) ?? null}
              options={units}
              onChange={({ detail }) =>
                set({ unit: UNITS.find((unit) => unit === detail.selectedOption.value) ?? 'hours' })
              }
            />
          </FormField>
        </>
      )}
      {kind === 'own' && (
        <FormField
          label="Expression"
          description="cron(minutes hours day-of-month month day-of-week year), rate(6 hours) or at(2026-12-24T20:00:00)."
          errorText={problem}
        >
          <Input
            spellcheck={false}
            value={timing.expression}
            onChange={({ detail }) => set({ expression: detail.value })}
          />
        </FormField>
      )}
    </>
  );
}

function ZoneField({ zone, onChange }: { zone: string; onChange: (zone: string) => void }) {
  const zones = [...new Set(['UTC', zone, ...Intl.supportedValuesOf('timeZone')])];
  return (
    <FormField label="Time zone" description="Adjusts for daylight saving time.">
      <Select
        selectedOption={{ value: zone, label: zone }}
        options={zones.map((value) => ({ value, label: value }))}
        filteringType="auto"
        filteringAriaLabel="Find time zone"
        virtualScroll
        onChange={({ detail }) => onChange(detail.selectedOption.value ?? 'UTC')}
      />
    </FormField>
  );
}
