import SpaceBetween from '@cloudscape-design/components/space-between';
import { NoTargets, Show, Titled } from '../parts/states.tsx';
import type { PageProps } from '../router.ts';
import { useSession } from '../session.tsx';
import { useData } from '../use-data.ts';
import { Retention } from './schedules/retention.tsx';
import { ScheduleForm } from './schedules/schedule-form.tsx';
import { ScheduleTable } from './schedules/schedule-table.tsx';

/** `#/schedules`, `#/schedules/new` and `#/schedules/<name>/edit`. */
export default function Schedules({ route: { parts } }: PageProps) {
  const { api } = useSession();
  const deployment = useData('deployment', api.deployment);
  const [, name, edit] = parts;
  const editing = name !== undefined && edit === 'edit' ? name : undefined;
  const existing = useData(editing, (signal) => api.showSchedule(editing ?? '', signal));
  return (
    <Show loaded={deployment} what="the deployment" title="Schedules">
      {(data) => {
        if (name === 'new' && edit === undefined) {
          if (data.targets.length > 0) return <ScheduleForm deployment={data} />;
          return (
            <Titled title="Create schedule">
              <NoTargets />
            </Titled>
          );
        }
        if (editing !== undefined) {
          return (
            <Show loaded={existing} what="the schedule" title="Schedule">
              {/* Newer data would overwrite the input of the user: the form keeps the first data. */}
              {(schedule) => <ScheduleForm key={editing} deployment={data} schedule={schedule} />}
            </Show>
          );
        }
        return (
          <SpaceBetween size="l">
            <ScheduleTable />
            <Retention />
          </SpaceBetween>
        );
      }}
    </Show>
  );
}
