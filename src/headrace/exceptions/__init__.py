"""Every exception this package raises on purpose.

    HeadraceError
    ├── FailedRun                 a failed run whose data is no exception
    ├── CrashedRun                a run ended by something that is no ordinary error
    ├── CancelledRun              a run was cancelled before or while it ran
    ├── DeadlineExceeded          (TimeoutError) a deadline passed before the end
    ├── PausedRun                 a result was asked of a paused run
    ├── UnfinishedRun             a result was asked of a run that has none yet
    ├── MissingResult             a run completed, and its result is not to be had
    │   ├── DamagedResult         what is stored is not what was written
    │   ├── UntrustedResult       it could run code, and is not signed by us
    │   └── UnreadableResult      it is whole, and no value can be made of it
    ├── SerializationError        a value cannot be turned into bytes and back
    ├── UnknownSerializer         (LookupError) there is no serializer of that name
    ├── StorageError              a storage could not write, read or remove
    ├── ResultTooLarge            a value has more bytes than it may have
    ├── InvalidStorageKey         (ValueError) nothing can be stored under this
    ├── StoredException           what could not be stored as it was: its text
    ├── UpstreamTaskError         a run was held back: an input did not complete
    ├── WorkerDied                a worker process ended while it ran a task
    ├── InjectedFailure           a test had an attempt fail
    ├── NotPicklable              (TypeError) this cannot go to or from a worker process
    ├── MappingLengthMismatch     map() got iterables of different lengths
    ├── MappingMissingIterable    map() got nothing to iterate over
    ├── ParameterBindError        (TypeError) arguments do not fit the signature
    ├── SignatureMismatchError    (TypeError) stored parameters do not fit any more
    ├── ReservedArgumentError     (TypeError) a parameter has a name that we use
    ├── ParameterTypeError        an argument has the wrong type
    ├── HashError                 (TypeError) this cannot be in a cache key
    ├── InvalidNameError          (ValueError) a name cannot be used
    ├── MissingContextError       (RuntimeError) no run is active here
    │   └── SubmitOutsideRun      submit, map or stream, with nothing to submit to
    ├── BlockedLoop               (RuntimeError) this wait would block its own loop
    ├── CacheUnusable             (RuntimeError) the cache cannot be read or written
    ├── DeadlockError             (RuntimeError) this wait could never end
    ├── LimitTooSmall             (RuntimeError) a limit has no room for this, ever
    ├── RunEnded                  (RuntimeError) the scope of this call is over
    │   └── RuntimeClosing        the runtime is drained, and takes nothing new
    ├── ForkedRuntime             (RuntimeError) a runtime was used in a forked child
    ├── UnreadyMap                (RuntimeError) a map of unknown length was read
    └── InternalError             (RuntimeError) a bug in headrace itself

    BaseException
    └── RunInterrupted            raised *inside* a plain body that has to stop

An exception carries plain facts (names, counts, texts), never live runs or
futures, so it can be pickled into another process and kept in a record.
"""

from __future__ import annotations

from headrace.exceptions.base import HeadraceError, InternalError
from headrace.exceptions.calls import (
    HashError,
    InvalidNameError,
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    ParameterTypeError,
    ReservedArgumentError,
    SignatureMismatchError,
)
from headrace.exceptions.ends import (
    CancelledRun,
    CrashedRun,
    DeadlineExceeded,
    FailedRun,
    InjectedFailure,
    MissingResult,
    NotPicklable,
    PausedRun,
    RunInterrupted,
    UnfinishedRun,
    UpstreamTaskError,
    WorkerDied,
)
from headrace.exceptions.places import (
    BlockedLoop,
    CacheUnusable,
    DeadlockError,
    ForkedRuntime,
    LimitTooSmall,
    MissingContextError,
    RunEnded,
    RuntimeClosing,
    SubmitOutsideRun,
    UnreadyMap,
)
from headrace.exceptions.storing import (
    DamagedResult,
    InvalidStorageKey,
    ResultTooLarge,
    SerializationError,
    StorageError,
    StoredException,
    UnknownSerializer,
    UnreadableResult,
    UntrustedResult,
)

__all__ = (
    "BlockedLoop",
    "CacheUnusable",
    "CancelledRun",
    "CrashedRun",
    "DamagedResult",
    "DeadlineExceeded",
    "DeadlockError",
    "FailedRun",
    "ForkedRuntime",
    "HashError",
    "HeadraceError",
    "InjectedFailure",
    "InternalError",
    "InvalidNameError",
    "InvalidStorageKey",
    "LimitTooSmall",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "MissingResult",
    "NotPicklable",
    "ParameterBindError",
    "ParameterTypeError",
    "PausedRun",
    "ReservedArgumentError",
    "ResultTooLarge",
    "RunEnded",
    "RunInterrupted",
    "RuntimeClosing",
    "SerializationError",
    "SignatureMismatchError",
    "StorageError",
    "StoredException",
    "SubmitOutsideRun",
    "UnfinishedRun",
    "UnknownSerializer",
    "UnreadableResult",
    "UnreadyMap",
    "UntrustedResult",
    "UpstreamTaskError",
    "WorkerDied",
)
