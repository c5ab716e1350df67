"""Starts the AWS emulator ministack with corrections, so that tests behave as on AWS.

Each other module in this folder corrects one behaviour by replacing functions of ministack in memory. This ties them to
one version, so other versions are rejected: review each correction before changing the version.
"""

import sys
from importlib.metadata import version

VERSION = "1.5.33"

if __name__ == "__main__":
    found = version("ministack")
    if found != VERSION:
        sys.exit(f"ministack {found} is installed; the corrections in local/emulator/ are for {VERSION}.")

    import async_retries
    import bucket_properties
    import callback_errors
    import callback_once
    import callback_permissions
    import evaluation_time
    import faults
    import held
    import lambda_errors
    import lost_events
    import missing_objects
    import multipart
    import nested_executions
    import node_command_line
    import object_events
    import parallel_output
    import payload_limits
    import permissions
    import recorded_calls
    import saved_queries
    import schedules
    import secret_references
    import thawed_versions
    import versioned_reads

    corrections = (
        async_retries,
        bucket_properties,
        callback_errors,
        callback_once,
        callback_permissions,
        evaluation_time,
        faults,
        held,
        lambda_errors,
        lost_events,
        missing_objects,
        multipart,
        nested_executions,
        node_command_line,
        object_events,
        parallel_output,
        payload_limits,
        permissions,
        recorded_calls,
        saved_queries,
        schedules,
        secret_references,
        thawed_versions,
        versioned_reads,
    )
    for correction in corrections:
        correction.apply()

    from ministack.app import main

    sys.exit(main())
