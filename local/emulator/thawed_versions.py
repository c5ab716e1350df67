"""Reports in HeadObject of a version whether it is being thawed, or is thawed, as for the newest version.

ministack keeps the state of a thaw with the newest version of an object, and reports it only without `versionId`. It thaws
everything in two seconds; here, a thaw for 365 days takes an hour, so that a test can end a job that waits for it.
"""

from ministack.services import s3


def apply():
    head_object = s3._head_object
    restore_object = s3._restore_object

    def restore_slowly(bucket_name, key, body):
        answer = restore_object(bucket_name, key, body)
        bucket = s3._ensure_bucket(bucket_name)
        thaw = bucket["objects"].get(key, {}).get("restore") if bucket else None
        if answer[0] == 202 and thaw and thaw["days"] == 365:
            thaw["available_at"] += 3600
        return answer

    def head_version(bucket_name, key, headers=None, query_params=None):
        version = s3._qp(query_params or {}, "versionId", "")
        bucket = s3._ensure_bucket(bucket_name)
        newest = bucket["objects"].get(key) if bucket else None
        if version and newest and newest.get("version_id") == version:
            query_params = {name: value for name, value in query_params.items() if name != "versionId"}
        return head_object(bucket_name, key, headers, query_params)

    s3._head_object = head_version
    s3._restore_object = restore_slowly
