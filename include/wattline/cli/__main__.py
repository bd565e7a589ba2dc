"""`python -m wattline.cli` is `wattline`."""

from wattline.cli import app

app()
