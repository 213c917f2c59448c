"""``route-addon serve`` before anything runs."""

import tempfile
from pathlib import Path

import pytest

from route_addon.serve import command


def test_no_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The processes share one: one sentence says how to have it, and the status is 1."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SystemExit) as ended:
        command._make_folder()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "route_addon: no temporary folder can be written to (No such file or directory); "
        "mount one at /tmp, or name one by TMPDIR\n"
    )


def test_a_folder_whose_path_is_too_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No socket of a worker's would fit into it: it is refused, and not left behind."""
    folder = tmp_path / ("x" * 80)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(SystemExit):
        command._make_folder()
    assert "is too long for sockets; name a shorter one" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
