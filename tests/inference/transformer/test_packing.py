"""The layout of a pass, compared with a token-by-token implementation of the rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.transformer.packing import PREFIX, Prompt, common_length, pack

ids = st.lists(st.integers(0, 999), min_size=1, max_size=9).map(tuple)


@st.composite
def packed(draw: st.DrawFn) -> tuple[Prompt, int]:
    prefix = draw(ids)
    prompt = Prompt(prefix, draw(st.integers(0, len(prefix) - 1)), tuple(draw(st.lists(ids, max_size=5))))
    return prompt, draw(st.integers(0, len(prefix) - 1))


@given(packed())
def test_packed_rows_attend_as_in_separate_passes(case: tuple[Prompt, int]) -> None:
    prompt, kept = case
    part = pack(prompt, kept)
    # Every column of the pass, as (owner, position, token): the cached prefix first, then the rows.
    columns = [(PREFIX, i, token) for i, token in enumerate(prompt.prefix)]
    for index, candidate in enumerate(prompt.candidates):
        columns += [(index, len(prompt.prefix) + i, token) for i, token in enumerate(candidate[:-1])]
    rows, layout = columns[kept:], part.layout
    found = zip(layout.owner, layout.positions, part.ids, strict=True)
    assert [(int(o), int(p), int(t)) for o, p, t in found] == rows
    for row, (owner, position, _) in enumerate(rows):
        expected = [o in {PREFIX, owner} and p <= position for o, p, _ in columns]
        assert layout.visible[row].tolist() == expected


@given(packed())
def test_candidate_tokens_are_predicted_by_the_token_before(case: tuple[Prompt, int]) -> None:
    prompt, kept = case
    part = pack(prompt, kept)
    assert part.targets.tolist() == [token for candidate in prompt.candidates for token in candidate]
    assert part.lengths.tolist() == [len(candidate) for candidate in prompt.candidates]
    at = 0
    for index, candidate in enumerate(prompt.candidates):
        for i in range(len(candidate)):
            row = part.predictors[at]
            assert part.layout.positions[row] == len(prompt.prefix) - 1 + i
            assert part.layout.owner[row] == (PREFIX if i == 0 else index)
            at += 1
    assert at == len(part.predictors)


@pytest.mark.parametrize("kept", [-1, 3, 4])
def test_last_token_of_the_prefix_is_always_computed(kept: int) -> None:
    with pytest.raises(ValueError, match="in a prefix of 3"):
        pack(Prompt((1, 2, 3), 2, ((4,),)), kept)


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_length_counts_equal_leading_tokens(left: list[int], right: list[int]) -> None:
    length = common_length(left, right)
    assert left[:length] == right[:length]
    assert length == min(len(left), len(right)) or left[length] != right[length]


def test_empty_list_of_candidates_still_reads_the_prefix() -> None:
    part = pack(Prompt((1, 2, 3), 2, ()), 0)
    assert part.layout.rows == 3
    assert part.predictors.dtype == np.int64
    assert len(part.targets) == 0
