"""Any JSON, for property tests."""

from hypothesis import strategies as st

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)
