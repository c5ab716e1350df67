"""Starts Node as Lambda's managed runtime does, where that is asked for: with sizes of the heap that win over NODE_OPTIONS.

`EMULATOR_NODE_COMMAND_LINE=lambda` asks for it, in the environment of the emulator or of one function. The tests of
the stack do.
"""

import subprocess

from ministack.core import lambda_runtime


def flags(environment):
    """As `/var/runtime/bootstrap` of the base image public.ecr.aws/lambda/nodejs sets them."""
    memory = int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"))
    return ["--expose-gc", f"--max-semi-space-size={round(memory * 0.05)}", f"--max-old-space-size={round(memory * 0.9)}"]


class Subprocess:
    """The module `subprocess`, but for how Node is started."""

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
