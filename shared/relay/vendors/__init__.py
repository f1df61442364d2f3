"""The vendors. Each is a module of its own; only the one that a request needs is imported."""

from importlib import import_module

from relay.vendors.base import Vendor

NAMES = (
    "brivo",
    "butlr",
    "deel",
    "disruptive",
    "doorflow",
    "envoy",
    "factorial",
    "genea",
    "generic",
    "gusto",
    "hibob",
    "keypay",
    "kisi",
    "merge",
    "paylocity",
    "peopleforce",
    "personio",
    "unifi",
    "vacationtracker",
    "vergesense",
    "verkada",
)


class UnknownVendor(Exception):
    """No module of that name."""


def load(name: str) -> Vendor:
    """The record of a vendor; raises `UnknownVendor`."""
    if name not in NAMES:
        raise UnknownVendor(name)
    vendor: Vendor = import_module(f"relay.vendors.{name}").VENDOR
    return vendor
