import Tabs from '@cloudscape-design/components/tabs';
import type { JobView } from '../../../shared/operations/show-job.ts';
import { Problem } from '../../parts/states.tsx';
import { href, navigate } from '../../router.ts';
import { asApiError } from '../../use-data.ts';
import { Confirm } from './confirm.tsx';
import { OptionsForm } from './options-form.tsx';
import { Report } from './report.tsx';

const PAGES = ['report', 'options', 'confirm'] as const;

/** A restore that was inspected and waits: findings, options, and confirmation. Each has its own address. */
export function Decision({
  job,
  step,
  onAnswer,
}: {
  job: JobView;
  step: string | undefined;
  onAnswer: () => void;
}) {
  const { inspection, options } = job;
  if (!inspection || !options) {
    return (
      <Problem error={asApiError(new Error('The job is waiting for confirmation, but has no inspection.'))} />
    );
  }
  const go = (page: string) => navigate(href(['restore', job.job_id, page]));
  return (
    <Tabs
      ariaLabel="Before the restore"
      activeTabId={PAGES.find((page) => page === step) ?? 'report'}
      onChange={({ detail }) => go(detail.activeTabId)}
      tabs={[
        {
          id: 'report',
          label: 'Findings',
          content: <Report inspection={inspection} options={options} onNext={() => go('confirm')} />,
        },
        {
          id: 'options',
          label: 'Options',
          content: (
            <OptionsForm
              // Options that another tab has changed reset the form.
              key={JSON.stringify(options)}
              job={job}
              inspection={inspection}
              options={options}
              onAnswer={() => {
                onAnswer();
                go('report');
              }}
            />
          ),
        },
        {
          id: 'confirm',
          label: 'Confirm',
          content: <Confirm job={job} inspection={inspection} options={options} onAnswer={onAnswer} />,
        },
      ]}
    />
  );
}
