"""Sends EventBridge events when nested executions of Standard state machines end, as for every Standard execution.

ministack runs the child of `startExecution.sync` like an Express workflow, which sends no events: the janitor would
never clean up after a safety backup.
"""

from ministack.services import stepfunctions


def apply():
    run = stepfunctions._run_execution

    def run_and_tell(execution_arn):
        execution = stepfunctions._executions[execution_arn]
        machine = stepfunctions._state_machines[execution["stateMachineArn"]]
        if machine.get("type") == "STANDARD":
            execution.pop("sync", None)
        return run(execution_arn)

    stepfunctions._run_execution = run_and_tell
