"""`relayctl console`: what the relay does and holds, as one page on this machine."""

import importlib.util

INSTALL = ".venv/bin/pip install --no-deps --require-hashes -r requirements-console.lock"
"""How to install what the page is made with, which the other commands do without."""


def is_installed() -> bool:
    """Whether what the page is made with is there."""
    return importlib.util.find_spec("nicegui") is not None
