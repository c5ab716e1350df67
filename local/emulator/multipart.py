"""Enforces S3's rules for multipart uploads: parts in ascending order, at least 5 MiB except for the last one, a CRC-32
of the whole object if it was requested, the CRC-32 of a copied part, and Object Lock.

Sources: "Amazon S3 multipart upload limits" and "Checking object integrity" in the S3 user guide.
"""

import base64
import re
import struct
import zlib

from ministack.services import s3

PART_BYTES_MIN = 5 * 1024 * 1024


def apply():
    create, complete = s3._create_multipart_upload, s3._complete_multipart_upload
    copy_part = s3._upload_part_copy

    def create_upload(bucket, key, headers):
        status, answer_headers, body = response = create(bucket, key, headers)
        if status != 200:
            return response
        upload = s3._multipart_uploads[re.search(rb"<UploadId>(.*?)</UploadId>", body).group(1).decode()]
        kind = (headers.get("x-amz-checksum-type") or "").upper()
        # S3 supports this algorithm for whole objects only.
        if upload.get("checksum_algorithm") == "CRC64NVME":
            kind = "FULL_OBJECT"
        upload["_checksum_type"] = kind
        if kind:
            answer_headers["x-amz-checksum-type"] = kind
        if headers.get("x-amz-tagging"):
            upload["_tagging"] = headers["x-amz-tagging"]
        upload["_lock"] = {name: headers[name] for name in s3._OBJECT_LOCK_HEADERS if name in headers}
        return response

    def copy_part_with_checksum(bucket, key, query, headers):
        status, answer_headers, body = response = copy_part(bucket, key, query, headers)
        upload = s3._multipart_uploads.get(s3._qp(query, "uploadId"))
        algorithm = upload and upload.get("checksum_algorithm")
        if status != 200 or not algorithm:
            return response
        # S3 computes and states it, and compares it with what the completion states.
        part = upload["parts"][int(s3._qp(query, "partNumber", "1"))]
        checksum = s3._compute_s3_checksum(algorithm, part["body"])
        part["checksums"] = {algorithm: checksum}
        element = f"<Checksum{algorithm}>{checksum}</Checksum{algorithm}></CopyPartResult>".encode()
        return status, answer_headers, body.replace(b"</CopyPartResult>", element)

    def complete_upload(bucket, key, body, query, headers=None):
        upload_id = s3._qp(query, "uploadId")
        upload = s3._multipart_uploads.get(upload_id)
        if not upload or upload["bucket"] != bucket or upload["key"] != key:
            return complete(bucket, key, body, query, headers)

        def refuse(code, message):
            return s3._error(code, message, 400, f"/{bucket}/{key}")

        numbers = [int(number) for number in re.findall(rb"<PartNumber>\s*(\d+)\s*</PartNumber>", body)]
        parts = [upload["parts"].get(number) for number in numbers]
        if any(after <= before for before, after in zip(numbers, numbers[1:])):
            return refuse("InvalidPartOrder", "The list of parts was not in ascending order.")
        if all(parts) and any(len(part["body"]) < PART_BYTES_MIN for part in parts[:-1]):
            return refuse("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")

        checksum = None
        if all(parts) and upload.get("_checksum_type") == "FULL_OBJECT" and upload["checksum_algorithm"] == "CRC32":
            crc = 0
            for part in parts:
                crc = zlib.crc32(part["body"], crc)
            checksum = base64.b64encode(struct.pack(">I", crc)).decode()
            if (headers or {}).get("x-amz-checksum-crc32", checksum) != checksum:
                return refuse("BadDigest", "The CRC32 you specified did not match the calculated checksum.")
            # ministack would compare this header with the checksum of the parts' checksums.
            headers = {name: value for name, value in (headers or {}).items() if name != "x-amz-checksum-crc32"}

        status, answer_headers, answer = response = complete(bucket, key, body, query, headers)
        if status != 200:
            return response
        stored = s3._buckets[bucket]["objects"][key]
        # Those of the request that began the upload, or the default of the bucket.
        s3._apply_object_lock_from_headers(bucket, key, upload["_lock"], stored.get("version_id"))
        if checksum is None:
            return response
        stored["checksums"], stored["checksum_type"] = {"CRC32": checksum}, "FULL_OBJECT"
        element = b"<ChecksumCRC32>" + checksum.encode() + b"</ChecksumCRC32>"
        answer = re.sub(rb"<Checksum(CRC32|Type)>.*?</Checksum(CRC32|Type)>", b"", answer)
        # ministack states no checksum if parts were copied.
        element += b"<ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>"
        answer = answer.replace(b"</CompleteMultipartUploadResult>", element)
        response = (status, answer_headers, answer)
        # The response to a repeated completion of the same upload.
        s3._completed_multipart_uploads[upload_id] = {"key": key, "response": response}
        return response

    s3._create_multipart_upload, s3._complete_multipart_upload = create_upload, complete_upload
    s3._upload_part_copy = copy_part_with_checksum
