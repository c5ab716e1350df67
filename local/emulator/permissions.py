"""Functions may do what their roles allow, and nothing else, as on AWS: ministack evaluates policies where it is told to.

Whoever calls with the dummy keys of the local stack is the account's root user and may do everything. Connections within
this machine count as encrypted, since the bucket's policy refuses others and the emulator has no certificate. Tests may
name roles that do not exist.
"""

from ministack import app
from ministack.core import iam_evaluator


def apply():
    app.AUTH = True
    pin = app.pin_request_origin
    app.pin_request_origin = lambda address, _secure: pin(address, True)
    iam_evaluator.validate_role_arn = lambda _arn: None
