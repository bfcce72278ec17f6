"""The wheel itself: what is in it, and what it says of itself."""

from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.deployments


def test_the_wheel_has_its_types_its_licenses_and_its_command(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert "ghost_tracking/py.typed" in names
    assert {f"{info}/licenses/{file}" for file in metadata.get_all("License-File", [])} <= set(names)
    assert metadata["License-Expression"] == "Apache-2.0 AND MIT"
    assert len(metadata.get_all("License-File", [])) == 2
    assert "ghost-tracking = ghost_tracking.__main__:run" in entry_points
    assert {name.split("/")[0] for name in names} == {"ghost_tracking", info}
