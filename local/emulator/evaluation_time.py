"""Lets a JSONata expression take a minute instead of a second, which a busy machine may need for a short one."""

from ministack.services import stepfunctions

MILLISECONDS = 60_000


def apply():
    library = stepfunctions.jsonata.Jsonata
    parse = library.jsonata

    def parse_with_time(expression, timeout=MILLISECONDS, **options):
        return parse(expression, timeout=max(timeout, MILLISECONDS), **options)

    library.jsonata = staticmethod(parse_with_time)
