"""Injects Lambda's failures into functions on request of a test, and enforces the limits of a new account.

A function whose environment has `EMULATOR_FAULTS`, such as `Lambda.ResourceNotReadyException*2,Runtime.OutOfMemory*1`,
fails this many times with these errors when a state machine invokes it, and works from then on. The error of an
invocation beyond the concurrency limit has the name that Step Functions uses. A function with more memory than a new
AWS account allows (`EMULATOR_MEMORY_MAX`) can't be created, and neither can a secret whose name is in use.
"""

import os
import threading

from ministack.services import lambda_svc, secretsmanager, stepfunctions
from ministack.services.cloudformation import provisioners

# Lambda quotas, "New AWS accounts have reduced concurrency and memory quotas".
MEMORY_MAX = int(os.environ.get("EMULATOR_MEMORY_MAX", "3008"))

_taken = {}
_lock = threading.Lock()


def next_fault(name, config):
    variables = (config.get("Environment") or {}).get("Variables") or {}
    faults = []
    for fault in filter(None, variables.get("EMULATOR_FAULTS", "").split(",")):
        error, _, times = fault.partition("*")
        faults += [error] * int(times or 1)
    with _lock:
        count = _taken.get(name, 0)
        if count >= len(faults):
            return None
        _taken[name] = count + 1
        return faults[count]


def apply():
    call = stepfunctions._call_lambda

    def call_with_faults(func_ref, event):
        func, config, name = lambda_svc._get_func_record_for_ref(func_ref)
        error = next_fault(name, config) if func and config else None
        if error:
            raise stepfunctions._ExecutionError(error, f"{error}: asked for by EMULATOR_FAULTS of {name}")
        return call(func_ref, event)

    stepfunctions._call_lambda = call_with_faults

    throttle = lambda_svc._throttle_response

    def named_throttle(*args, **kwargs):
        response = throttle(*args, **kwargs)
        response["body"]["errorType"] = "Lambda.TooManyRequestsException"
        return response

    lambda_svc._throttle_response = named_throttle

    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create = handlers["create"]

    def create_within_quota(logical_id, properties, *args, **kwargs):
        memory = int(properties.get("MemorySize", 128))
        if memory > MEMORY_MAX:
            raise ValueError(
                f"'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to {MEMORY_MAX}"
            )
        return create(logical_id, properties, *args, **kwargs)

    handlers["create"] = create_within_quota

    secrets = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create_secret = secrets["create"]

    def create_new_secret(logical_id, properties, *args, **kwargs):
        name = properties.get("Name")
        if name and name in secretsmanager._secrets:
            raise ValueError(f"The operation failed because the secret {name} already exists.")
        return create_secret(logical_id, properties, *args, **kwargs)

    secrets["create"] = create_new_secret
