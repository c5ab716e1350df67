"""Whoever answers a task that waits needs a permission for its state machine, as with Step Functions.

ministack does not know which state machine a task token belongs to, and asks for a permission for everything ("*").
"""

import inspect

from ministack.core import iam_actions
from ministack.services import stepfunctions

# Of tokens that were answered, too: those of Step Functions say themselves where they belong to, and a second answer is
# told that the task is over, not that a permission is missing.
_machines = {}


def apply():
    invoke = stepfunctions._invoke_with_callback
    extract = iam_actions.extract_resource_arn

    def invoke_known(resource, input_data, token, state_def):
        # The caller has the execution, and does not hand it on.
        execution = inspect.currentframe().f_back.f_locals["execution"]
        _machines[token] = execution["stateMachineArn"]
        return invoke(resource, input_data, token, state_def)

    def extract_known(service, method, path, headers, body, *rest):
        if service == "states" and headers.get("x-amz-target", "").split(".")[-1].startswith("SendTask"):
            return _machines.get(iam_actions._safe_json_field(body, "taskToken"), "*")
        return extract(service, method, path, headers, body, *rest)

    stepfunctions._invoke_with_callback = invoke_known
    iam_actions.extract_resource_arn = extract_known
