"""``python -m shoal``: the command line."""

from shoal.cli import app

app(prog_name="shoal")
