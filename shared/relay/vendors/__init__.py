"""The vendors. Each module of this package is one; what they share is in the package `support`."""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

# The deployment hook signs events, and needs none of the models that a vendor's record brings along.
if TYPE_CHECKING:
    from relay.vendors.support.base import Vendor

NAMES = tuple(sorted(module.name for module in iter_modules(__path__) if not module.ispkg))
"""Every vendor, by its module's name. None is imported before a request needs it."""


class UnknownVendor(Exception):
    """No module of that name."""


def load(name: str) -> "Vendor":
    """The record of a vendor; raises `UnknownVendor`."""
    # The name is an operator's text, and `import_module` would import whatever it leads to.
    if name not in NAMES:
        raise UnknownVendor(name)
    vendor: Vendor = import_module(f"relay.vendors.{name}").VENDOR
    return vendor
