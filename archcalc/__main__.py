"""`python -m archcalc` is the command `archcalc`."""

from archcalc.cli.main import run

run()
