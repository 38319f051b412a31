"""Pack a study into one file with checksums, and unpack it elsewhere."""

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from paribus import record
from paribus.errors import UserError, summarise_error
from paribus.housekeeping.shelf import require_ended_runs
from paribus.housekeeping.trackers import TRACKERS
from paribus.paths import suggest_path

MANIFEST = "paribus.json"  # the first file of an archive: name, version, and SHA-256 of each file
SUFFIXES = (".tar.gz", ".tgz")
LEFT_OUT = (record.LOCK, record.STOP, record.TRASH, "__pycache__")


def pack(study: Path, archive: Path) -> int:
    """Write a study, or a single run, into a gzipped tar archive; return the number of its files.

    Raises UserError if the study holds no run, one is running, or the archive exists already or has another suffix.
    """
    require_ended_runs(study)
    if not archive.name.endswith(SUFFIXES):
        raise UserError(
            f"{archive} names no archive, which ends in {' or '.join(SUFFIXES)}, and no tracker: "
            f"{' or '.join(TRACKERS)}. Choose one of them with --to."
        )
    if archive.exists():
        raise UserError(f"{archive} exists already. Choose another file with --to.")
    files = sorted(
        Path(folder) / name
        for folder, _, names in os.walk(study)
        for name in names
        if not {*Path(folder).relative_to(study).parts, name} & set(LEFT_OUT) and (Path(folder) / name).is_file()
    )
    name = study.resolve().name
    digests = {file.relative_to(study).as_posix(): compute_digest(file) for file in files}
    manifest = json.dumps({"format": 1, "name": name, "files": digests}, indent=2).encode()
    with record.replace_file(archive) as temporary, tarfile.open(temporary, "w:gz", compresslevel=6) as tar:
        entry = tarfile.TarInfo(MANIFEST)
        entry.size = len(manifest)
        tar.addfile(entry, io.BytesIO(manifest))
        for file in files:
            tar.add(file, f"{name}/{file.relative_to(study).as_posix()}", recursive=False)
    return len(files)


def unpack(archive: Path, into: Path) -> Path:
    """Unpack an archive into a new directory in `into`, and return that.

    Nothing is left behind unless every file is there with its checksum. Raises UserError for a file that is no archive
    of `pack`, is damaged, or whose study is there already.
    """
    if not archive.exists():
        raise UserError(f"{archive} does not exist.{suggest_path(archive)}")
    into.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=into))
    try:
        with tarfile.open(archive, "r:gz") as tar:
            first = tar.next()
            content = tar.extractfile(first) if first is not None and first.name == MANIFEST else None
            if content is None:
                raise UserError(f"{archive} is no archive of `paribus export`.")
            manifest = json.loads(content.read())
            name, digests = manifest["name"], manifest["files"]
            if name != PurePosixPath(name).name or name in ("", ".", ".."):
                raise UserError(f"{archive} names its study {name!r}, which is no directory's name.")
            if (into / name).exists():
                raise UserError(f"{into / name} exists already. Choose another directory with --into.")
            tar.extractall(temporary, filter="data")  # refuses paths and links that lead elsewhere
        found = {
            path.relative_to(temporary / name).as_posix(): compute_digest(path)
            for path in (temporary / name).rglob("*")
            if path.is_file()
        }
        if found != digests:
            wrong = sorted(key for key in {*found, *digests} if found.get(key) != digests.get(key))
            raise UserError(f"{archive} is damaged: {wrong[0]} is not what was packed. Copy the archive again.")
        os.rename(temporary / name, into / name)
        return into / name
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None and Path(str(error.filename)) != archive:
            raise  # a full disk, say
        raise UserError(f"{archive} cannot be unpacked ({summarise_error(error)}).") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def compute_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
