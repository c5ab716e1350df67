"""Corrects schedules to match EventBridge Scheduler: permissions, time zone, and the input of targets.

ministack checks permissions as if every schedule were in the group `default`, loses the time zone of a schedule
created by CloudFormation, and passes the placeholders of an input to the target unchanged. It still interprets the
times of `cron` and `at` as UTC.
"""

import json
from datetime import datetime, timezone

from ministack.core import iam_actions
from ministack.services import eventbridge, scheduler
from ministack.services.cloudformation import provisioners


def group_of(method, query_params, body):
    if method in ("POST", "PUT"):
        return json.loads(body or b"{}").get("GroupName", "default")
    group = query_params.get("groupName", "default")
    return group[0] if isinstance(group, list) else group


def apply():
    resource_of = iam_actions.extract_resource_arn

    def resource_in_group(service, method, path, headers, body, query_params, region, account_id, *args, **kwargs):
        if service == "scheduler" and path.startswith("/schedules"):
            name = path.removeprefix("/schedules").strip("/")
            # Listing has no narrower resource, regardless of the filter.
            where = f"{group_of(method, query_params, body)}/{name}" if name else "*/*"
            return f"arn:aws:scheduler:{region}:{account_id}:schedule/{where}"
        return resource_of(service, method, path, headers, body, query_params, region, account_id, *args, **kwargs)

    iam_actions.extract_resource_arn = resource_in_group

    handlers = provisioners._RESOURCE_HANDLERS["AWS::Scheduler::Schedule"]

    def with_time_zone(handler):
        def handle(*args, **kwargs):
            answer = handler(*args, **kwargs)
            properties = next(arg for arg in reversed(args) if isinstance(arg, dict))
            key = f"{properties.get('GroupName', 'default')}/{answer[0]}"
            scheduler._schedules[key]["ScheduleExpressionTimezone"] = properties.get("ScheduleExpressionTimezone", "UTC")
            return answer

        return handle

    for verb in ("create", "update"):
        handlers[verb] = with_time_zone(handlers[verb])

    invoke = eventbridge._invoke_target

    def invoke_with_context(target, event, *args, **kwargs):
        if event.get("Source") == "aws.scheduler" and target.get("Input"):
            now = datetime.fromtimestamp(event["Time"], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            filled = target["Input"].replace("<aws.scheduler.scheduled-time>", now)
            target = {**target, "Input": filled}
        return invoke(target, event, *args, **kwargs)

    eventbridge._invoke_target = invoke_with_context
