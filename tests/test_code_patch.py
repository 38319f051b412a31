"""What of a checkout was not committed: kept as a patch that git applies, and named where a run is repeated."""

import subprocess
from pathlib import Path

import pytest

from paribus.housekeeping.difference import _compare_patches
from paribus.record import write_json
from paribus.record.provenance import MOST_BYTES, Code, explain_other_code, read_code


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    return subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a package, of which a file is committed beside data and a document."""
    (tmp_path / "it" / "package").mkdir(parents=True)
    root = tmp_path / "it"
    git(root, "init")
    (root / "package" / "known.py").write_text("one = 1\n")
    (root / "gone.yaml").write_text("a: 1\n")
    (root / "table.csv").write_text("a,b\n1,2\n")
    (root / "README.md").write_text("words\n")
    git(root, "add", ".")
    git(root, "commit", "-m", "first")
    return root


def test_a_clean_checkout_has_no_patch(checkout: Path, tmp_path: Path) -> None:
    code = read_code(checkout / "package" / "known.py")
    assert code == Code(git(checkout, "rev-parse", "HEAD").strip(), False)
    (tmp_path / "elsewhere.py").write_text("")
    assert read_code(tmp_path / "elsewhere.py") == Code()  # no git


def test_git_applies_the_patch_to_a_clean_checkout(checkout: Path, tmp_path: Path) -> None:
    (checkout / "package" / "known.py").write_text("one = 1\ntwo = 'zwei \u00e4'")  # no newline at the end
    (checkout / "gone.yaml").unlink()
    (checkout / "conf dir").mkdir()
    (checkout / "conf dir" / "new.yaml").write_text("b: [1, 2]\n")
    (checkout / "table.csv").write_text("a,b\n3,4\n")
    (checkout / "samples.npy").write_bytes(bytes(range(256)))
    (checkout / "large.py").write_text("x = 1\n" * (MOST_BYTES // 6 + 1))
    git(checkout, "config", "diff.noprefix", "true")
    git(checkout, "config", "color.diff", "always")
    code = read_code(checkout / "package" / "known.py")
    assert code.dirty and set(code.left_out) == {"table.csv", "samples.npy", "large.py"}
    git(tmp_path, "clone", "it", "clean")
    clean = tmp_path / "clean"
    (tmp_path / "code.patch").write_bytes(code.patch)
    git(clean, "apply", "../code.patch")
    for name in ("package/known.py", "conf dir/new.yaml"):
        assert (clean / name).read_bytes() == (checkout / name).read_bytes()
    assert not (clean / "gone.yaml").exists() and (clean / "table.csv").read_text() == "a,b\n1,2\n"
    again = read_code(clean / "package" / "known.py")
    assert again.as_object()["patch"] == code.as_object()["patch"] is not None  # of the same code


def test_records_within_the_checkout_are_no_code(checkout: Path) -> None:
    (checkout / "new.py").write_text("x = 1\n")
    before = read_code(checkout / "package" / "known.py")
    for name in (
        "runs/s/plan.json",
        "runs/s/a/.hydra/config.yaml",
        "runs/s/a/summary.json",
        "day/b/.hydra/config.yaml",
    ):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("{}\n")
    (checkout / "day" / "conf.yaml").write_text("a: 1\n")
    after = read_code(checkout / "package" / "known.py")
    assert b"b/new.py" in before.patch and b"b/day/conf.yaml" in after.patch
    assert b"plan.json" not in after.patch and b"summary.json" not in after.patch and b".hydra" not in after.patch
    assert {"runs/s/plan.json", "day/b/.hydra/config.yaml"} < set(after.left_out)


@pytest.mark.parametrize(
    "name", ["secrets.yaml", "my_credentials.py", "API_KEY.toml", "settings.json", "local.ini", "hub-token.yaml"]
)
def test_new_files_that_may_hold_secrets_are_left_out(checkout: Path, name: str) -> None:
    (checkout / name).write_text("key: 1234\n")
    code = read_code(checkout / "package" / "known.py")
    assert b"1234" not in code.patch and name in code.left_out
    (checkout / "tokenizer.py").write_text("words = 5678\n")
    assert b"5678" in read_code(checkout / "package" / "known.py").patch


def test_a_patch_has_context_whatever_git_is_told(checkout: Path) -> None:
    before = read_code(checkout / "package" / "known.py")
    (checkout / "package" / "known.py").write_text("# changed\n")
    changed = read_code(checkout / "package" / "known.py").patch
    git(checkout, "config", "diff.context", "0")
    assert read_code(checkout / "package" / "known.py").patch == changed != before.patch


def test_too_large_a_patch_is_listed_alone(checkout: Path) -> None:
    for i in range(3):
        (checkout / f"new{i}.py").write_text("x = 1\n" * (MOST_BYTES // 12))
    code = read_code(checkout / "package" / "known.py")
    assert code.patch == b"" and code.left_out == ("new0.py", "new1.py", "new2.py")


def test_a_record_of_other_code_says_how_to_get_it(tmp_path: Path) -> None:
    here = Code("b" * 40, False)

    def said(now: Code = here, **then: object) -> str | None:
        summary = {
            "status": "completed",
            "config": {},
            "git": then,
            "choices": {"optim": "adam"},
            "set": {},
            "statistics": {},
        }
        write_json(tmp_path / "summary.json", summary | {"versions": {}, "seed": 1, "identity": "x", "data": {}})
        return explain_other_code(tmp_path, now)

    assert said(commit="b" * 40, dirty=False) is None  # of a version without patches
    assert said(commit=None, dirty=None) is None
    assert said(commit="b" * 40, dirty=True, patch=None, left_out=["README.md"]) is None
    with_patch = Code("b" * 40, True, b"diff")
    assert said(with_patch, **with_patch.as_object()) is None
    missing = said(commit="b" * 40, dirty=True, patch="12", left_out=["table.csv"])
    assert missing is not None and f"git checkout {'b' * 40} && git apply {tmp_path}/code.patch" in missing
    assert "not in the patch: table.csv" in missing
    assert "changes that nobody recorded" in str(said(commit="b" * 40, dirty=True))
    other = said(Code(), commit="a" * 40, dirty=False)
    assert other is not None and "no checkout" in other and "git apply" not in other


def test_two_patches_are_compared_line_by_line(tmp_path: Path) -> None:
    for name, text in (("a", "diff\n+x = 1\n"), ("b", "diff\n+x = 2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.patch").write_text(text)
    assert _compare_patches(tmp_path / "a", tmp_path / "b")[-2:] == ["-+x = 1", "++x = 2"]
    (tmp_path / "c").mkdir()
    assert _compare_patches(tmp_path / "c", tmp_path / "b")[-1] == "++x = 2"
    assert _compare_patches(tmp_path / "a", tmp_path / "a") == []
