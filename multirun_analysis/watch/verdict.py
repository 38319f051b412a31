"""Have the verdict of a study reached in a process of its own, so that the page goes on meanwhile."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any


class VerdictCommand:
    """The analysis command on a study, started once all of its planned runs are there.

    Attributes:
        key: what the verdict depends on; None: it must not be reached yet.
    """

    def __init__(self, path: Path):
        self.path = path
        self.key: object = None
        self._process: subprocess.Popen[bytes] | None = None
        self._files: tuple[IO[bytes], IO[bytes]] | None = None
        self._result: dict[str, Any] | None = None

    def update(self, key: object) -> None:
        """Start the command where `key` is another one than before; forget the verdict where it is None."""
        if key == self.key:
            return
        self.key = key
        self.close()
        self._result = None
        if key is not None:
            self._files = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115  closed once read
            command = [sys.executable, "-m", "multirun_analysis", str(self.path), "--json"]
            self._process = subprocess.Popen(command, stdout=self._files[0], stderr=self._files[1])

    def describe(self) -> dict[str, Any] | None:
        """Return the verdict for the page, that it is being computed, or why it cannot be; None: it must not be yet."""
        if self.key is None:
            return None
        if self._process is not None and self._process.poll() is not None:
            self._result = self._read(self._process.returncode)
            self._process = None
        return self._result or {"state": "computing"}

    def _read(self, code: int) -> dict[str, Any]:
        assert self._files is not None
        output, errors = (self._read_file(file) for file in self._files)
        if code:
            reason = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
            return {"state": "failed", "message": reason.removeprefix("error: ")}
        found = json.loads(output)
        return {"state": "reached", **{key: found[key] for key in ("heading", "lines", "next")}}

    @staticmethod
    def _read_file(file: IO[bytes]) -> str:
        file.seek(0)
        text = file.read().decode(errors="replace")
        file.close()
        return text

    def close(self) -> None:
        """End the command, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
