"""Getting Fashion-MNIST and CIFAR-10: every source, in order, from servers and package managers made for the test."""

import gzip
import hashlib
import io
import multiprocessing
import os
import tarfile
from pathlib import Path

import pytest
from conftest import Quiet, idx, striped
from torchvision import datasets

from paribus.data import fashion_mnist, files
from paribus.data.cifar10 import CIFAR10
from paribus.data.fashion_mnist import FashionMNIST
from paribus.errors import UserError

NOBODY = "http://127.0.0.1:9/"  # the discard port, where nothing answers


def fashion(root: Path) -> FashionMNIST:
    return FashionMNIST(str(root), 32, 60, None, False, [0.5], [0.5], 1)


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small Fashion-MNIST in `folder`, whose checksums become the known ones."""
    for known, n, seed in ((fashion_mnist.TRAIN, 600, 1), (fashion_mnist.TEST, 100, 2)):
        images, labels = striped(n, (28, 28), seed)
        for name, content in zip(list(known), (idx(images), idx(labels)), strict=True):
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            monkeypatch.setitem(known, name, hashlib.sha256(content).hexdigest())


def fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.shutil, "which", lambda name: None)


def test_files_come_from_a_mirror_once(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_apt: None
) -> None:
    url, served = server
    publish(served, monkeypatch)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [NOBODY, url])
    data = fashion(tmp_path / "data")
    data.prepare_data()
    data.setup("fit")
    assert len(Quiet.asked) == 4
    data.prepare_data()
    assert len(Quiet.asked) == 4
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    assert len(list(raw.iterdir())) == 4
    assert {p.name for p in (tmp_path / "data").iterdir()} <= {"FashionMNIST", ".lock"}, "nothing temporary is left"


def test_only_what_is_missing_is_fetched(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_apt: None
) -> None:
    url, served = server
    publish(served, monkeypatch)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [url])
    data = fashion(tmp_path / "data")
    data.prepare_data()
    (tmp_path / "data" / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    data.prepare_data()
    assert Quiet.asked[4:] == ["/t10k-labels-idx1-ubyte.gz"]


def test_an_altered_file_on_a_mirror_is_not_taken(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_apt: None
) -> None:
    url, served = server
    publish(served, monkeypatch)
    (served / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [url])
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz is truncated or altered"):
        fashion(tmp_path / "data").prepare_data()
    assert not (tmp_path / "data" / "FashionMNIST").exists()


def test_without_any_source_all_are_named_with_their_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [NOBODY])
    fake(tmp_path / "bin", "apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    fake(tmp_path / "bin", "dpkg-deb", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(UserError) as error:
        fashion(tmp_path / "data").prepare_data()
    message = str(error.value)
    for part in (NOBODY, "refused", "Unable to locate package", "data.root=DIR", "model=regression", "no-system-copy"):
        assert part in message, part
    assert not list((tmp_path / "data").glob(".preparing*"))


@pytest.mark.parametrize("listed", [True, False])
def test_the_distributions_package_with_and_without_a_package_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    package = tmp_path / "package" / "usr" / "share" / "datasets" / "fashion-mnist"
    package.mkdir(parents=True)
    publish(package, monkeypatch)
    monkeypatch.setattr(fashion_mnist, "SYSTEM", Path("/usr/share/datasets/fashion-mnist-of-no-machine"))
    package.rename(package.with_name("fashion-mnist-of-no-machine"))
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [NOBODY])
    # apt-get knows the package at once, or only after `update` into the private list
    fake(tmp_path / "bin", "apt-get", f"""
        echo "$@" >> {tmp_path}/called
        case "$*" in *update) touch {tmp_path}/updated; exit 0;; esac
        {'true' if listed else f'[ -e {tmp_path}/updated ]'} || {{ echo 'E: No packages found' >&2; exit 100; }}
        touch dataset-fashion-mnist_1_all.deb""")  # fmt: skip
    fake(tmp_path / "bin", "dpkg-deb", f'[ "$1" = -x ] && [ -e "$2" ] && cp -r {tmp_path}/package "$3"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    data = fashion(tmp_path / "data")
    data.prepare_data()
    data.setup("fit")
    calls = (tmp_path / "called").read_text().splitlines()
    assert [call.split()[-1] for call in calls] == (
        ["dataset-fashion-mnist"] if listed else ["dataset-fashion-mnist", "update", "dataset-fashion-mnist"]
    )
    assert ("Dir::State::Lists" in calls[-1]) is not listed


def prepare(root: str, mirror: str, known: tuple[dict, dict]) -> None:
    fashion_mnist.TRAIN.update(known[0])
    fashion_mnist.TEST.update(known[1])
    fashion_mnist.SYSTEM = Path("/nowhere")
    datasets.FashionMNIST.mirrors = [mirror]
    fashion(Path(root)).prepare_data()


def test_several_processes_at_once_fetch_once(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, served = server
    publish(served, monkeypatch)
    context = multiprocessing.get_context("fork")
    arguments = (str(tmp_path / "data"), url, (dict(fashion_mnist.TRAIN), dict(fashion_mnist.TEST)))
    workers = [context.Process(target=prepare, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(Quiet.asked) == 4
    fashion(tmp_path / "data").setup("fit")


def archive(folder: Path, target: Path) -> str:
    with tarfile.open(target, "w:gz") as tar:
        tar.add(folder, "cifar-10-batches-py")
    return hashlib.md5(target.read_bytes()).hexdigest()


def cifar(root: Path) -> CIFAR10:
    return CIFAR10(str(root), True, 16, 10, None, False, True, [0.5] * 3, [0.2] * 3, 1)


def test_cifar_10_is_downloaded_and_checked(
    server: tuple[str, Path],
    cifar_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "paribus")
    url, served = server
    folder = cifar_root / "cifar-10-batches-py"
    md5 = archive(folder, served / "cifar-10-python.tar.gz")
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{url}cifar-10-python.tar.gz")
    with pytest.raises(UserError, match="another md5"):
        cifar(tmp_path / "data").prepare_data()
    said = f"{tmp_path / 'data'} is new: CIFAR-10 is downloaded into it"
    assert caplog.messages[0] == said, "before anything is downloaded"
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5)
    sums = [[p.name, hashlib.md5(p.read_bytes()).hexdigest()] for p in sorted(folder.iterdir())]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    data = cifar(tmp_path / "data")
    data.prepare_data()
    assert caplog.messages.count(said) == 1, "it is there by now"
    data.setup("fit")
    assert data.train
    assert len(data.train[0]) == 90
    assert {p.name for p in (tmp_path / "data").iterdir()} <= {"cifar-10-batches-py", ".lock"}


def test_an_archive_cannot_write_outside(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, served = server
    with tarfile.open(served / "cifar-10-python.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("../../outside")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{url}cifar-10-python.tar.gz")
    md5 = hashlib.md5((served / "cifar-10-python.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5)
    with pytest.raises(UserError, match="outside"):
        cifar(tmp_path / "data" / "deeper").prepare_data()
    assert not list(tmp_path.rglob("outside"))


def test_no_network_for_cifar_10_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{NOBODY}cifar-10-python.tar.gz")
    with pytest.raises(UserError) as error:
        cifar(tmp_path / "data").prepare_data()
    for part in (NOBODY, "refused", "data.root=DIR", "data=fashion_mnist"):
        assert part in str(error.value), part


def test_a_data_root_that_cannot_be_written_is_an_os_error_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        fashion(tmp_path / "file" / "data").prepare_data()
