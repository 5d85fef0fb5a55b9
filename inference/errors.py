"""What the model plane raises outside of one scoring call.

    InferenceError
    ├── SettingsError           a setting has no usable value
    ├── WeightsError            the weights cannot be found, read or converted
    ├── StubEnvironmentError  the environment of Triton's Python models cannot be made
    ├── RequestRefused          one request is outside the model's bounds; the others of its batch are not touched
    ├── TritonNotAvailable      this platform or installation has no tritonserver
    └── TritonFailed            tritonserver ended, or the model was not ready in time

What goes wrong within a scoring call is a `ScoringError` (`schemas.scoring`).
"""


class InferenceError(Exception):
    """The root of what this package raises outside of the `Scorer` port."""


class SettingsError(InferenceError):
    pass


class WeightsError(InferenceError):
    pass


class StubEnvironmentError(InferenceError):
    pass


class RequestRefused(InferenceError):
    pass


class TritonNotAvailable(InferenceError):
    pass


class TritonFailed(InferenceError):
    pass
