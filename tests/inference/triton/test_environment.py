"""What a server gets of the environment."""

import pytest

from inference.triton.environment import passed_on


@pytest.mark.parametrize(
    "name",
    [
        *("OUZEL_SASL_PASSWORD", "OUZEL_WEB_TOKEN", "OUZEL_PSEUDONYM_KEY", "OUZEL_TRITON_CONTROL_KEY"),
        *("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "NVIDIA_API_KEY", "OTEL_EXPORTER_OTLP_HEADERS", "https_proxy"),
        *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PATH", ""),
    ],
)
def test_secret_or_misleading_variables_are_left_out(name: str) -> None:
    assert passed_on({name: "x"}) == {}


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "OMP_NUM_THREADS", "HOME", "LC_ALL"])
def test_tuning_variables_are_passed_on(name: str) -> None:
    assert passed_on({name: "x"}) == {name: "x"}
