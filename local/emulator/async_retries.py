"""Retries a function that an EventBridge rule started and that failed, as Lambda does for asynchronous invocations.

ministack has these retries, and the dead-letter queue after the last one, but not for invocations by a rule. Its delays
are shorter: one and two seconds, where Lambda waits for one and two minutes.
"""

import json

from ministack.services import eventbridge, lambda_svc


def dispatch(arn, payload):
    func, config, name = lambda_svc._get_func_record_for_ref(arn)
    if not func or not config:
        eventbridge.logger.warning("EventBridge → Lambda: function %s not found", name)
        return
    record = lambda_svc._execution_record_for_config(func, config)
    lambda_svc.invoke_async_with_retry(record, json.loads(payload))
    eventbridge.logger.info("EventBridge → Lambda %s: dispatched", name)


def apply():
    if not callable(getattr(eventbridge, "_dispatch_to_lambda", None)):
        raise SystemExit("EventBridge of ministack has changed: look at local/emulator/async_retries.py again.")
    eventbridge._dispatch_to_lambda = dispatch
