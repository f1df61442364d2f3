"""The handlers, one folder a function: what the template names, and nothing that decides anything."""

import gc

# What a process loads at its start stays: to look for garbage meanwhile would be a tenth of the time.
gc.disable()


def started() -> None:
    """Look for garbage from now on, but not among what has been loaded. Each handler ends its imports so."""
    # The container has been built by now, and is left out of the search as well.
    gc.freeze()
    gc.enable()
