"""Training needs torch."""

import pytest

pytest.importorskip("torch", reason="training needs the inference extra")
