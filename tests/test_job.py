"""What a job leaves in .hydra/."""

from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from paribus.run.spec import _to_yaml

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="$\u2028\u2029\ufeff")) | st.sampled_from(
    ["1e-3", "1_000", "0x1", "no", "On", "true", "null", "~", "", " ", "nan", ".inf", "1:30", "2026-11-22", "- a", "a: b", "'"]
)  # fmt: skip
VALUES = WORDS | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()
TREES = st.dictionaries(WORDS, st.recursive(VALUES, lambda x: st.lists(x) | st.dictionaries(WORDS, x), max_leaves=8))


@given(TREES)
def test_a_configuration_is_read_again_as_it_was(tree: dict) -> None:
    """By OmegaConf, to which 1e-3 is a number where YAML's own rules see a text."""
    text = _to_yaml(tree)
    found = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    assert found == tree
    theirs = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(tree))), resolve=False)
    assert found == theirs
    assert str(found) == str(tree)  # 1 is not True, and 1.0 not 1
