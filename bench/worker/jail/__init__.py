"""Where generated code runs: a process that can compute, and nothing else.

It guards a machine against code that is wrong. It does not guard a score against code written to cheat: what is tested
and what tests it share one interpreter.
"""
