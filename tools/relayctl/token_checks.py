"""Whether the tokens of a vendor that changes its refresh token with each use go on being renewed."""

import time

from relay.vendors.support.base import Vendor
from relay.vendors.support.tokens import chain_of, lease_key, lease_of
from relayctl import secret_store
from relayctl.target import Target


def problem(target: Target, source: str, vendor: Vendor) -> str | None:
    """What is wrong with a source's tokens: nothing is '', None where it has none that are renewed."""
    if vendor.api is None or vendor.api.oauth is None:
        return None
    credentials = secret_store.api(target, vendor.family, source)
    if "refreshToken" not in credentials:
        alone = bool(vendor.api.instead) and all(name in credentials for name in vendor.api.instead)
        names = ", ".join(vendor.api.fields)
        return f"api.{vendor.api.instead[0]} alone ends, and is not renewed: put {names}" if alone else None
    host = (credentials.pop("baseUrl", "") or vendor.api.host).rstrip("/")
    key = lease_key(source, chain_of(host, credentials))
    lease = lease_of(target.ledger().get([key]).get(key))
    if lease.refused_since:
        minutes = (time.time() - lease.refused_since) / 60
        return f"the vendor has refused the refresh token for {minutes:.0f} min: its events wait"
    if lease.version and not _is_there(target, source, lease.version):
        return f"the secret tokens/{source} lacks the newest tokens: its events wait"
    return ""


def _is_there(target: Target, source: str, version: str) -> bool:
    client = target.client("secretsmanager")
    try:
        client.get_secret_value(SecretId=f"{target.stack}/tokens/{source}", VersionId=version)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True
