"""Records the calls of functions and users: principal, action, resource, and the values for conditions of policies.

One JSON object per line, in the file `RECORDED_CALLS`. Calls that differ only in ids are recorded once. The tests of
the deployed stack evaluate them against the synthesized policies (test/runner/recorded-calls.ts).
"""

import json
import os
import re
import threading

from ministack.core import iam_evaluator

_seen = set()
_lock = threading.Lock()


def shape(resource):
    """A resource without ids: the first folder of a key and its extension, because policies distinguish only these."""
    found = re.fullmatch(r"(arn:aws:s3:::[^/]+/)([^/]+/)?(.*?)(\.[a-z]+)?", resource)
    if found:
        bucket, folder, _, ending = found.groups()
        return f"{bucket}{folder or ''}…{ending or ''}"
    return re.sub(r"(:execution:[^:]+:).*", r"\1…", resource)


def record(path, access_key_id, action, resource, context):
    session = iam_evaluator.resolve_caller_identity(access_key_id) or {}
    principal = session.get("userArn", "")
    # The account's root user is the test itself.
    if ":assumed-role/" not in principal and ":user/" not in principal:
        return
    known = {key: value for key, value in (context or {}).items() if isinstance(value, str)}
    key = (principal, action, shape(resource), tuple(sorted(known)))
    with _lock:
        if key in _seen:
            return
        _seen.add(key)
        with open(path, "a", encoding="utf8") as file:
            line = {"principal": principal, "action": action, "resource": resource, "context": known}
            file.write(json.dumps(line) + "\n")


def apply():
    path = os.environ.get("RECORDED_CALLS")
    if not path:
        return
    enforce = iam_evaluator.enforce

    def enforce_and_record(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        record(path, access_key_id, iam_action, resource_arn, service_context)
        return enforce(access_key_id, iam_action, service, region, resource_arn, service_context)

    iam_evaluator.enforce = enforce_and_record
