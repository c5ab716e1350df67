"""Accepts saved queries of CloudWatch Logs in CloudFormation, which ministack does not support. Only records them."""

from ministack.services.cloudformation import provisioners


def apply():
    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, _properties, stack_name: (f"{stack_name}-{logical_id}", {}),
        "update": lambda physical_id, _old, _new, _stack_name: (physical_id, {}),
        "delete": lambda _physical_id, _properties: None,
    }
