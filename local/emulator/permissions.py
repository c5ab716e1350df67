"""Restricts functions to the permissions of their roles, as on AWS: ministack evaluates policies only if enabled.

Callers with the dummy keys of the local stack are the account's root user, who has all permissions. Connections within
this machine are treated as encrypted, because the bucket's policy denies others and the emulator has no certificate.
Tests may use names of roles that do not exist.
"""

from ministack import app
from ministack.core import iam_evaluator


def apply():
    app.AUTH = True
    pin = app.pin_request_origin
    app.pin_request_origin = lambda address, _secure: pin(address, True)
    iam_evaluator.validate_role_arn = lambda _arn: None
