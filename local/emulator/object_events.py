"""Adds the version of the object to events of new objects, as for a versioned bucket on AWS."""

import json

from ministack.services import eventbridge, s3


def apply():
    dispatch = eventbridge._dispatch_event

    def dispatch_with_version(event, *args, **kwargs):
        if event.get("Source") == "aws.s3" and event.get("DetailType") == "Object Created":
            detail = json.loads(event["Detail"])
            bucket = s3._buckets.get(detail["bucket"]["name"]) or {}
            stored = (bucket.get("objects") or {}).get(detail["object"]["key"]) or {}
            if stored.get("version_id"):
                detail["object"]["version-id"] = stored["version_id"]
                event = {**event, "Detail": json.dumps(detail)}
        return dispatch(event, *args, **kwargs)

    eventbridge._dispatch_event = dispatch_with_version
