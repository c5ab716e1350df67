"""Holds invocations by a state machine on request of a test, so that a state lasts until the test has seen it.

An invocation of a function with the tag `emulator:held` whose input contains the value of the tag waits until the tag is
removed. If the execution is stopped meanwhile, its function runs afterwards, like any function that outlives its execution.
"""

import json
import time

from ministack.services import lambda_svc, stepfunctions

TAG = "emulator:held"
POLL_SECONDS = 0.02
# For a test that ended without removing the tag.
SECONDS_MAX = 600


def is_held(func_ref, event):
    func, _, _ = lambda_svc._get_base_func_record_for_ref(func_ref)
    value = ((func or {}).get("tags") or {}).get(TAG)
    return value is not None and value in json.dumps(event)


def apply():
    call = stepfunctions._call_lambda

    def call_when_free(func_ref, event):
        end = time.monotonic() + SECONDS_MAX
        while is_held(func_ref, event) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return call(func_ref, event)

    stepfunctions._call_lambda = call_when_free
