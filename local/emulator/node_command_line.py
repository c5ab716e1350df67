"""Starts Node with the options of Lambda's managed runtime on request: heap sizes that override NODE_OPTIONS.

`EMULATOR_NODE_COMMAND_LINE=lambda` in the environment of the emulator or of one function requests it. The tests of
the stack set it.
"""

import subprocess

from ministack.core import lambda_runtime


def flags(environment):
    """The options set by `/var/runtime/bootstrap` of the base image public.ecr.aws/lambda/nodejs."""
    memory = int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"))
    return ["--expose-gc", f"--max-semi-space-size={round(memory * 0.05)}", f"--max-old-space-size={round(memory * 0.9)}"]


class Subprocess:
    """The module `subprocess`, with another way to start Node."""

    def __getattr__(self, name):
        return getattr(subprocess, name)

    @staticmethod
    def Popen(command, *args, **kwargs):  # noqa: N802
        environment = kwargs.get("env") or {}
        if command[0] == "node" and environment.get("EMULATOR_NODE_COMMAND_LINE") == "lambda":
            command = [command[0], *flags(environment), *command[1:]]
        return subprocess.Popen(command, *args, **kwargs)


def apply():
    lambda_runtime.subprocess = Subprocess()
