"""Answers 403 for an object that does not exist if the caller may not list the bucket, as S3 does.

Source: "GetObject" and "HeadObject" in the Amazon S3 API reference, "Permissions". The permission must cover the whole
bucket: a request for an object has no prefix that a condition could match.
"""

from ministack.core import iam_evaluator
from ministack.core.responses import get_region
from ministack.core.router import extract_access_key_id
from ministack.services import s3


def apply():
    # Taken before calls are recorded: this check is not a call of a client.
    enforce = iam_evaluator.enforce

    def concealing(handler):
        def answer(bucket, key, headers=None, query_params=None):
            found = handler(bucket, key, headers, query_params)
            if found[0] != 404 or s3._ensure_bucket(bucket) is None:
                return found
            access_key = extract_access_key_id(headers or {}, query_params)
            if not access_key:
                return found
            if enforce(access_key, "s3:ListBucket", "s3", get_region(), f"arn:aws:s3:::{bucket}") is None:
                return found
            return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}/{key}")

        return answer

    s3._get_object, s3._head_object = concealing(s3._get_object), concealing(s3._head_object)
