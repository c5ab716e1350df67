"""`Ref` of a secret in CloudFormation returns its ARN, as on AWS, even if the secret has a name.

ministack returns the name, so that no policy that allows a function to read the secret would ever match.
"""

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners

TYPE = "AWS::SecretsManager::Secret"


def arn_of(name):
    secret = secretsmanager._secrets.get(name)
    return secret["ARN"] if secret else name


def name_of(arn):
    for name, secret in list(secretsmanager._secrets.items()):
        if secret["ARN"] == arn:
            return name
    return arn


def apply():
    handlers = provisioners._RESOURCE_HANDLERS[TYPE]
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def create_by_arn(*args, **kwargs):
        name, attributes = create(*args, **kwargs)
        return arn_of(name), attributes

    def update_by_arn(physical_id, *args, **kwargs):
        name, attributes = update(name_of(physical_id), *args, **kwargs)
        return arn_of(name), attributes

    def delete_by_arn(physical_id, *args, **kwargs):
        return delete(name_of(physical_id), *args, **kwargs)

    handlers.update(create=create_by_arn, update=update_by_arn, delete=delete_by_arn)
