"""The built package, made to run on this machine."""

import shutil
from pathlib import Path

from e2e.checks import Failed
from e2e.emulator import BIN, ROOT

BUILT = ROOT / "build" / "package"


def copy(folder: Path) -> None:
    """Copy the built package to a new folder; raises `Failed`.

    It holds extension modules for the functions' processor: beside them go those for this one, of the
    same versions, from the environment that runs the functions.
    """
    if not BUILT.is_dir():
        raise Failed(f"{BUILT} is not there: make build")
    shutil.copytree(BUILT, folder)
    [installed] = BIN.parent.glob("lib/python*/site-packages")
    for module in list(folder.rglob("*.so")):
        where, name = module.parent.relative_to(folder), module.name.partition(".")[0]
        found = list((installed / where).glob(f"{name}.*.so"))
        if not found:
            raise Failed(f"{where / name} is not in {installed}: add what holds it to tools/build/e2e.in")
        for each in found:
            shutil.copy(each, module.parent)
