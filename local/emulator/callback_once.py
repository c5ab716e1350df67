"""A waiting task accepts one answer; a second one fails because the task has ended, as with Step Functions.

ministack accepts any number of answers until the workflow's thread has woken up, and uses the last one.
"""

import threading

from ministack.core.responses import error_response_json
from ministack.services import stepfunctions

_answering = threading.Lock()


def _once(answer):
    def answer_once(data):
        with _answering:
            info = stepfunctions._task_tokens.get(data.get("taskToken"))
            if info is None or info["event"].is_set():
                return error_response_json("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400)
            return answer(data)

    return answer_once


def apply():
    stepfunctions._send_task_success = _once(stepfunctions._send_task_success)
    stepfunctions._send_task_failure = _once(stepfunctions._send_task_failure)
