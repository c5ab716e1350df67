"""Gives a Parallel state in JSONata the output and the variables that its definition states, as Step Functions does.

ministack ignores both: the output is always the list of what the branches return.
"""

from ministack.services import stepfunctions


def apply():
    run = stepfunctions._run_parallel_branches

    def run_with_output(state_def, raw_input, execution, ctx):
        results, following = run(state_def, raw_input, execution, ctx)
        if stepfunctions._state_query_language(state_def, ctx) != "JSONata":
            return results, following
        output = stepfunctions._apply_jsonata_output(state_def, raw_input, ctx, result=results, default=results)
        stepfunctions._apply_state_assign(state_def, raw_input, ctx, result=results)
        return output, following

    stepfunctions._run_parallel_branches = run_with_output
