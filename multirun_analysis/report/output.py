"""The folder that an analysis writes to: what it wrote itself may be replaced and removed, nothing else is touched."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from paribus.errors import UserError
from paribus.record import replace_file

MANIFEST = ".paribus.json"
FIXED = ("report.html", "runs.csv", "comparison.csv", "tables.md", "tables.tex")
# How files of versions without a manifest are recognised.
PAGE, PAIRS = b'<nav><a href="#verdict">Verdict</a>', b"factor,kind,context,a,b,metric,mean_a,mean_b,"
HEAD = 100_000  # bytes of a page in which its navigation stands


class Output:
    """A folder of results, whose manifest lists by relative path the files that are ours.

    Attributes:
        foreign_figures: what to say of files among the figures that are not in the manifest; once, empty after that.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ours, self.foreign_figures = set[str](), ""
        known = (folder / MANIFEST).exists()
        self._is_older = not known and is_analysis(folder)
        if known:
            self.ours = self._read()
        elif self._is_older:
            self.ours = {name for name in FIXED if (folder / name).is_file()}

    def claim(self, names: Iterable[str]) -> None:
        """Enter files that will be written into the manifest, before there is any of them.

        Raises UserError for a file that is there already and not ours.
        """
        wanted = list(names)
        if self._is_older:  # a version without a manifest replaced figures of these names as well
            others = [file for file in (self.folder / "figures").glob("*") if f"figures/{file.name}" not in wanted]
            self.ours |= {name for name in wanted if name.startswith("figures/") and (self.folder / name).is_file()}
            if others:
                files = f"{len(others)} file{'s' * (len(others) > 1)}"
                self.foreign_figures = (
                    f"Left alone: {files} in {self.folder / 'figures'}, of an earlier version or your own."
                )
        for name in wanted:
            if name not in self.ours and (self.folder / name).exists():
                raise UserError(
                    f"{self.folder / name} exists, and no analysis wrote it. Move it away, or write elsewhere: "
                    "--out DIR."
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ours |= set(wanted)
        self._write()

    def write_text(self, name: str, text: str) -> None:
        """Write a file that was claimed."""
        assert name in self.ours, name
        with replace_file(self.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def replace(self, contents: Mapping[str, str]) -> None:
        """Write these files, by relative path, in the place of all that an earlier analysis wrote here."""
        self.claim(contents)
        for name, text in contents.items():
            self.write_text(name, text)
        self.finish(contents)

    def finish(self, written: Iterable[str]) -> None:
        """Remove files of ours that this analysis did not write: they would say something else."""
        kept = set(written)
        for name in self.ours - kept:
            (self.folder / name).unlink(missing_ok=True)
        self.ours = kept
        self._write()

    def _read(self) -> set[str]:
        path = self.folder / MANIFEST
        try:
            names = json.loads(path.read_text(encoding="utf-8"))["files"]
            if all(_is_inside(name) for name in names):
                return set(names)
        except (ValueError, KeyError, TypeError):
            pass
        raise UserError(f"{path} is damaged, so nobody knows which files may be replaced. Write elsewhere: --out DIR.")

    def _write(self) -> None:
        with replace_file(self.folder / MANIFEST) as temporary:
            temporary.write_text(json.dumps({"files": sorted(self.ours)}, indent=1), encoding="utf-8")


def choose_folder(out: Path | None, paths: Sequence[Path]) -> Path:
    """Return where results go: to `out`, else to `analysis` of the only directory, or of the working directory."""
    return out or (paths[0] if len(paths) == 1 else Path()) / "analysis"


@contextmanager
def reporting_write_errors() -> Iterator[None]:
    """Turn an error of the file system, while results are written, into a UserError."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = " Write elsewhere: --out DIR." if error.filename else ""
        raise UserError(f"{where}{error.strerror or error}.{remedy}") from error


def is_analysis(folder: Path) -> bool:
    """Tell whether a folder without a manifest holds an analysis, by its page and its table of pairs."""
    try:
        with (folder / "report.html").open("rb") as page, (folder / "comparison.csv").open("rb") as pairs:
            return PAGE in page.read(HEAD) and pairs.read(len(PAIRS)) == PAIRS and (folder / "runs.csv").is_file()
    except OSError:
        return False


def _is_inside(name: str) -> bool:
    """Tell whether a relative path stays inside of the folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and name != MANIFEST
