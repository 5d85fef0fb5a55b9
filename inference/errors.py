"""What the model plane raises outside of one scoring call.

    InferenceError
    ├── SettingsError           a setting has no usable value
    ├── WeightsError            the weights cannot be found, read or converted
    ├── RequestRefused          one request is outside the model's bounds; the others of its batch are not touched
    ├── TooManyWait             so many requests wait that one more is refused; asking later can help
    ├── TrainingDiverged        the loss is no number any more
    ├── CheckpointError         a training cannot be kept, or not gone on with
    ├── NothingToLearn          the data has too little to train on, or to judge by
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


class RequestRefused(InferenceError):
    pass


class TooManyWait(InferenceError):
    pass


class TrainingDiverged(InferenceError):
    pass


class CheckpointError(InferenceError):
    pass


class NothingToLearn(InferenceError):
    pass


class TritonNotAvailable(InferenceError):
    pass


class TritonFailed(InferenceError):
    pass
