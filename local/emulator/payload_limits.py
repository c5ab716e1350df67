"""Ends executions if a state's input or output exceeds 256 KiB, an error that States.ALL does not catch, as on AWS.

Without this, a workflow whose state grows with the data would pass all tests and fail in production.
Source: "Service quotas" and "Handling errors" in the Step Functions developer guide.
"""

import json

from ministack.services import stepfunctions

PAYLOAD_BYTES_MAX = 256 * 1024
DATA_LIMIT = "States.DataLimitExceeded"
# Errors that are only caught by their exact name.
NOT_IN_ALL = (DATA_LIMIT, "States.Runtime")


def check(what, payload):
    # Compact, as Step Functions stores it.
    size = len(json.dumps(payload, separators=(",", ":"), ensure_ascii=False, default=str).encode())
    if size > PAYLOAD_BYTES_MAX:
        raise stepfunctions._ExecutionError(DATA_LIMIT, f"{what} has {size} bytes; {PAYLOAD_BYTES_MAX} are allowed.")


def limited(execute):
    def execute_within_limits(state, data, *args):
        name = next((context["State"]["Name"] for context in args if context and "State" in context), "?")
        check(f'The input of state "{name}"', data)
        output, following = execute(state, data, *args)
        check(f'The output of state "{name}"', output)
        return output, following

    return execute_within_limits


def apply():
    for kind in ("pass", "task", "choice", "wait", "parallel", "map"):
        function = f"_execute_{kind}"
        setattr(stepfunctions, function, limited(getattr(stepfunctions, function)))

    call, matches = stepfunctions._call_lambda, stepfunctions._error_matches

    def call_lambda(function, event):
        check(f"The event for function {function}", event)
        return call(function, event)

    def error_matches(names, error):
        return error in names if error in NOT_IN_ALL else matches(names, error)

    stepfunctions._call_lambda, stepfunctions._error_matches = call_lambda, error_matches
