"""The status of a record, and who owns its directory."""

from pathlib import Path

import pytest

from paribus import record


def test_one_process_owns_a_directory(tmp_path: Path) -> None:
    assert not record.is_running(tmp_path)
    with record.lock_directory(tmp_path):
        assert record.is_running(tmp_path)
        with pytest.raises(record.BusyError), record.lock_directory(tmp_path):
            pass
    assert not record.is_running(tmp_path)
    with record.lock_directory(tmp_path):
        pass


@pytest.mark.parametrize(("files", "expected"), [
    ({}, "absent"), ({"train.log": ""}, "absent"), ({record.METRICS: ""}, "unfinished"),
    ({record.SUMMARY: "{"}, "damaged"), ({record.SUMMARY: "{}"}, "damaged"),
    ({record.SUMMARY: '{"status": "failed"}', record.METRICS: ""}, "failed"),
    ({record.SUMMARY: '{"status": "completed"}'}, "damaged"),
    ({record.SUMMARY: '{"status": "failed", "identity": {}}'}, "damaged"),
    ({record.SUMMARY: '{"status": 5}'}, "damaged"),
    ({record.SUMMARY: '{"status": "failed", "statistics": null}'}, "damaged"),
])  # fmt: skip
def test_states(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    assert record.read_status(tmp_path)[0] == expected
