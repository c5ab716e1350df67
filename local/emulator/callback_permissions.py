"""Answering a waiting task requires a permission for its state machine, as with Step Functions.

ministack does not know which state machine a task token belongs to, and requires a permission for all resources ("*").
"""

import inspect

from ministack.core import iam_actions
from ministack.services import stepfunctions

# Includes tokens that were answered: those of Step Functions identify their state machine, so a second answer fails
# because the task has ended, not because a permission is missing.
_machines = {}


def apply():
    invoke = stepfunctions._invoke_with_callback
    extract = iam_actions.extract_resource_arn

    def invoke_known(resource, input_data, token, state_def):
        # The caller has the execution, but does not pass it on.
        execution = inspect.currentframe().f_back.f_locals["execution"]
        _machines[token] = execution["stateMachineArn"]
        return invoke(resource, input_data, token, state_def)

    def extract_known(service, method, path, headers, body, *rest):
        if service == "states" and headers.get("x-amz-target", "").split(".")[-1].startswith("SendTask"):
            return _machines.get(iam_actions._safe_json_field(body, "taskToken"), "*")
        return extract(service, method, path, headers, body, *rest)

    stepfunctions._invoke_with_callback = invoke_known
    iam_actions.extract_resource_arn = extract_known
