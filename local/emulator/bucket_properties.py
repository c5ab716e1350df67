"""Applies encryption, lifecycle rules, tags and object lock of buckets in CloudFormation, which ministack ignores."""

from xml.sax.saxutils import escape

from ministack.services import s3
from ministack.services.cloudformation import provisioners


def element(name, *content):
    return f"<{name}>{''.join(content)}</{name}>"


def encryption(properties):
    rules = []
    for rule in properties.get("ServerSideEncryptionConfiguration", []):
        default = rule.get("ServerSideEncryptionByDefault", {})
        algorithm = default.get("SSEAlgorithm")
        key = default.get("KMSMasterKeyID") or "alias/aws/s3"
        rules.append(
            element(
                "Rule",
                element(
                    "ApplyServerSideEncryptionByDefault",
                    element("SSEAlgorithm", algorithm),
                    element("KMSMasterKeyID", escape(key)) if algorithm == "aws:kms" else "",
                ),
                element("BucketKeyEnabled", str(rule.get("BucketKeyEnabled", False)).lower()),
            )
        )
    return element("ServerSideEncryptionConfiguration", *rules).encode()


def tags(pairs):
    return [element("Tag", element("Key", escape(tag["Key"])), element("Value", escape(str(tag["Value"])))) for tag in pairs]


def lifecycle(properties):
    rules = []
    for rule in properties.get("Rules", []):
        prefix = element("Prefix", escape(rule.get("Prefix", "")))
        tagged = tags(rule.get("TagFilters", []))
        content = [
            element("ID", escape(rule["Id"])) if rule.get("Id") else "",
            element("Status", rule.get("Status", "Enabled")),
            element("Filter", element("And", prefix, *tagged) if tagged else prefix),
        ]
        if rule.get("ExpirationInDays"):
            content.append(element("Expiration", element("Days", str(rule["ExpirationInDays"]))))
        if rule.get("ExpiredObjectDeleteMarker"):
            content.append(element("Expiration", element("ExpiredObjectDeleteMarker", "true")))
        for move in rule.get("Transitions", []):
            days = element("Days", str(move["TransitionInDays"]))
            content.append(element("Transition", days, element("StorageClass", move["StorageClass"])))
        older = rule.get("NoncurrentVersionExpiration")
        if older:
            days = element("NoncurrentDays", str(older["NoncurrentDays"]))
            content.append(element("NoncurrentVersionExpiration", days))
        aborted = rule.get("AbortIncompleteMultipartUpload")
        if aborted:
            days = element("DaysAfterInitiation", str(aborted["DaysAfterInitiation"]))
            content.append(element("AbortIncompleteMultipartUpload", days))
        rules.append(element("Rule", *content))
    return element("LifecycleConfiguration", *rules).encode()


def default_retention(properties):
    found = properties.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention")
    return found and {name: value if name == "Mode" else int(value) for name, value in found.items()}


def put(what, call, bucket, document):
    answer = call(bucket, document)
    if isinstance(answer, tuple) and answer[0] >= 300:
        raise ValueError(f"{what} of bucket {bucket}: {answer[2][:300]}")


def apply():
    configure = provisioners._s3_apply_configurations

    def configure_all(bucket, properties, old_properties=None):
        configure(bucket, properties, old_properties)
        if properties.get("BucketEncryption"):
            put("Encryption", s3._put_bucket_encryption, bucket, encryption(properties["BucketEncryption"]))
        if properties.get("LifecycleConfiguration"):
            put("Lifecycle", s3._put_bucket_lifecycle, bucket, lifecycle(properties["LifecycleConfiguration"]))
        if properties.get("Tags"):
            document = element("Tagging", element("TagSet", *tags(properties["Tags"]))).encode()
            put("Tags", s3._put_bucket_tagging, bucket, document)
        if str(properties.get("ObjectLockEnabled", "")).lower() == "true" and not s3._bucket_object_lock.get(bucket):
            s3._bucket_object_lock[bucket] = {"enabled": True, "default_retention": default_retention(properties)}

    provisioners._s3_apply_configurations = configure_all
