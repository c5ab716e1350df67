"""Supports `Range` and `response-content-disposition` for reads of one version of an object, as for the newest one.

ministack answers a GetObject with `versionId` with the whole version, regardless of the requested range.
"""

from ministack.services import s3


def apply():
    get_object = s3._get_object

    def get_version(bucket_name, key, headers, query_params=None):
        answer = get_object(bucket_name, key, headers, query_params)
        status, answered, body = answer
        if status != 200 or not s3._qp(query_params or {}, "versionId", ""):
            return answer
        s3._apply_response_overrides(answered, query_params)
        asked = headers.get("range", "")
        # For the newest version, the emulator may already have applied the range.
        if not asked or "Content-Range" in answered:
            return answer
        size = len(body)
        found = s3._parse_range(asked, size)
        if found is None:
            document = s3._xml_body(s3._range_error_xml(bucket_name, key))
            return 416, {"Content-Type": "application/xml", "Content-Range": f"bytes */{size}"}, document
        start, end = found
        # S3 returns checksums of whole objects only.
        kept = {name: value for name, value in answered.items() if not name.lower().startswith("x-amz-checksum-")}
        part = body[start : end + 1]
        kept["Content-Length"] = str(len(part))
        kept["Content-Range"] = f"bytes {start}-{end}/{size}"
        return 206, kept, part

    s3._get_object = get_version
