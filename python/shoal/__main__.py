"""``python -m shoal``: the command line."""

from shoal.cli import app

if __name__ == "__main__":
    app(prog_name="shoal")
