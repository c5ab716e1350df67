"""Errors that a Node function throws keep their name, message and stack.

ministack reports all of them as "Runtime.HandlerError", so that Retry and Catch of a state machine never match a name,
and it ends the warm process of the function. With this correction, the worker returns the error as a value, as Lambda's
runtime does, and the executor turns that value into a failed invocation.

A worker that ends during an invocation, or before its first one, is reported as in Lambda: Runtime.ExitError.
ministack calls this Runtime.HandlerError, RuntimeError or, before the first invocation, BrokenPipeError, which no Retry
matches.
"""

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

MARK = "__thrown"

EXIT_ERROR = "Runtime.ExitError"
# A handler's error is returned as a value, so only workers without an answer report the first one; the second is
# ministack's name for workers that ended during their start.
GAVE_NO_ANSWER = "Runtime.HandlerError"
ENDED_AT_START = "Worker process exited"
# Python's error for a write to a process that has ended.
ENDED_BEFORE_START = "BrokenPipeError"

# The two places in the worker that handle a failed handler: a rejected promise, and an error thrown synchronously.
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
