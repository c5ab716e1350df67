"""Loses the events of some executions, as EventBridge may: it delivers events of Step Functions on a best-effort basis.

No event is sent for the end of an execution whose name contains `lost_event`.
"""

import json

from ministack.services import eventbridge


def apply():
    put_events = eventbridge._put_events

    def put_most_events(request, *args, **kwargs):
        kept = [
            entry
            for entry in request.get("Entries", [])
            if not (
                entry.get("Source") == "aws.states"
                and "lost_event" in json.loads(entry.get("Detail") or "{}").get("name", "")
            )
        ]
        return put_events({**request, "Entries": kept}, *args, **kwargs)

    eventbridge._put_events = put_most_events
