import Grid from '@cloudscape-design/components/grid';
import Header from '@cloudscape-design/components/header';
import SpaceBetween from '@cloudscape-design/components/space-between';
import Steps, { type StepsProps } from '@cloudscape-design/components/steps';
import type { ReactNode } from 'react';

/** The steps of the wizard, in order. */
const STEPS = ['Archive', 'Upload', 'Inspection', 'Decision', 'Restore', 'Result'] as const;
export type StepName = (typeof STEPS)[number];

/** The frame of the wizard: completed and remaining steps, and the current step. */
export function WizardFrame({
  step,
  failed = false,
  upload,
  title,
  actions,
  children,
}: {
  step: StepName;
  /** The current step has failed. */
  failed?: boolean;
  /** Whether a file is uploaded: otherwise that step is omitted. */
  upload: boolean;
  title: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  const shown = STEPS.filter((name) => upload || name !== 'Upload');
  const at = shown.indexOf(step);
  const steps = shown.map((name, i): StepsProps.Step => {
    const last = name === 'Result';
    const status: StepsProps.Status =
      i < at ? 'success' : i > at ? 'pending' : failed ? 'error' : last ? 'success' : 'in-progress';
    const label =
      i < at ? 'Done' : i > at ? 'Not started' : failed ? 'Failed' : last ? 'Done' : 'In progress';
    return { status, statusIconAriaLabel: label, header: name };
  });
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={actions}
        description="Nothing is written until you confirm with the name of the target."
      >
        {title}
      </Header>
      <Grid gridDefinition={[{ colspan: { default: 12, s: 2 } }, { colspan: { default: 12, s: 10 } }]}>
        <Steps steps={steps} ariaLabel="Steps of a restore" />
        <div>{children}</div>
      </Grid>
    </SpaceBetween>
  );
}
