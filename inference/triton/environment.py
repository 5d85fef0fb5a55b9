"""The environment variables that a tritonserver and its models get: those that tune them, and no secrets.

A process's environment is readable for its user as long as it runs, and a model is third-party code.
"""

from collections.abc import Mapping

RESTARTS = "OUZEL_TRITON_RESTARTS"
"""The number of restarts of the server, which its model reports (`inference.triton.metrics`)."""

NAMES = frozenset(
    {
        *("HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_PRELOAD"),
        *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "GRPC_VERBOSITY", "GRPC_TRACE"),
        *("TOKENIZERS_PARALLELISM", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONHASHSEED"),
    }
)
PREFIXES = (
    *("LC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "ONEDNN_", "DNNL_"),
    *("ATEN_", "TORCH_", "PYTORCH_", "CUDA_", "CUBLAS_", "CUDNN_", "MALLOC_"),
)


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a server gets; docs/guide/triton.md lists them."""
    return {name: value for name, value in environ.items() if name in NAMES or name.startswith(PREFIXES)}
