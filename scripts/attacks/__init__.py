"""Attacks on the program from outside: each a row of the table that scripts/attacks.sh prints."""

import importlib

for module in (
    "kernel",
    "folder",
    "fetching",
    "out",
    "odd",
    "results",
    "readers",
    "network",
    "runs",
    "modes",
    "names",
    "foreign",
):
    importlib.import_module(f"attacks.{module}")
