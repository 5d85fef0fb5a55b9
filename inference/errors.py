"""Errors of the model plane outside scoring calls.

    InferenceError
    ├── SettingsError           a setting has no usable value
    ├── WeightsError            the weights cannot be found, read or converted
    ├── RequestRefused          one request is outside the model's bounds; others of its batch are unaffected
    ├── TooManyWait             the queue is full; a later retry can succeed
    ├── TrainingDiverged        the loss is not finite
    ├── CheckpointError         a training cannot be saved or resumed
    ├── NothingToLearn          too little data for training or evaluation
    ├── TritonNotAvailable      this platform or installation has no tritonserver
    ├── TritonFailed            tritonserver exited, or the model was not ready in time
    ├── ControlRefused          tritonserver lets this client load no models
    └── LoadRefused             a version cannot be loaded, or asked or removed as it is; the others serve on

Scoring calls raise `ScoringError` (`schemas.scoring`).
"""


class InferenceError(Exception):
    """Base class of the errors that this package raises outside the `Scorer` port."""


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


class ControlRefused(InferenceError):
    pass


class LoadRefused(InferenceError):
    pass
