"""Errors that a Node function throws keep their name, message and stack.

ministack reports every one as "Runtime.HandlerError", so that Retry and Catch of a state machine never match a name, and
it ends the warm process of the function. Here the worker answers with the error as a value, as Lambda's own runtime
does, and the executor turns that value into a failed invocation.

A worker that ends in the middle of an invocation, or before its first one, is told as Lambda tells it: Runtime.ExitError.
ministack calls that Runtime.HandlerError, RuntimeError or, if it ended before its first invocation, BrokenPipeError. No
Retry could know these.
"""

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

MARK = "__thrown"

EXIT_ERROR = "Runtime.ExitError"
# A handler's own error comes as a value, so the first is left for workers that gave no answer; the second is ministack's
# own, for those that ended while they started.
GAVE_NO_ANSWER = "Runtime.HandlerError"
ENDED_AT_START = "Worker process exited"
# Python's own name, of a write to a process that is gone.
ENDED_BEFORE_START = "BrokenPipeError"

# The two places of the worker where a handler has failed: by a rejected promise, and by an error thrown at once.
FAILURES = {
    "err": '''status: "error", error: String(err.message || err), trace: err.stack || ""
          })''',
    "e": '''status: "error", error: e.message, trace: e.stack
      })''',
}

ANSWER = """status: "ok", result: { %(mark)s: {
  errorType: (%(v)s && %(v)s.name) || "Error",
  errorMessage: String((%(v)s && %(v)s.message) || %(v)s),
  trace: String((%(v)s && %(v)s.stack) || "").split("\\n")
} } })"""


def ended(body):
    if body.get("errorType") in (GAVE_NO_ANSWER, ENDED_BEFORE_START):
        return True
    return str(body.get("errorMessage")).startswith(ENDED_AT_START)


def apply():
    script = lambda_runtime._NODEJS_WORKER_SCRIPT
    for variable, failure in FAILURES.items():
        if script.count(failure) != 1:
            raise SystemExit("The Node worker of ministack has changed: look at local/emulator/lambda_errors.py again.")
        script = script.replace(failure, ANSWER % {"mark": MARK, "v": variable})
    lambda_runtime._NODEJS_WORKER_SCRIPT = script

    execute = lambda_svc._execute_function_warm

    def execute_and_tell_errors(func, event, request_id):
        result = execute(func, event, request_id)
        body = result.get("body") if isinstance(result, dict) else None
        if not isinstance(body, dict):
            return result
        if result.get("error") and ended(body):
            body["errorType"] = EXIT_ERROR
            body["errorMessage"] = f"RequestId: {request_id} Error: Runtime exited with error: signal: killed"
            return result
        if MARK not in body:
            return result
        thrown = body[MARK]
        log = [result.get("log", ""), "ERROR\tInvoke Error\t" + "\n".join(thrown["trace"])]
        return {"body": thrown, "error": True, "log": "\n".join(filter(None, log))}

    lambda_svc._execute_function_warm = execute_and_tell_errors
