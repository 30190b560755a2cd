"""Exit codes of the command, by the error's reason or else its gRPC code.

* 0: done
* 1: failed
* 2: wrong usage or invalid argument
* 3: some images are missing
* 4: credentials
* 5: refused by a safety system
* 6: rate, quota, queue or storage; an image that could not be written
* 7: not found
* 8: deadline exceeded
* 9: server unreachable
* 130: interrupted
* 141: the reader of standard output has gone
"""

from celeste_image.core.errors import CelesteError

__all__ = ["PARTLY_DONE", "exit_code"]

PARTLY_DONE = 3
BY_REASON = {"SAFETY_BLOCKED": 5, "PROVIDER_CREDENTIALS": 4, "MODEL_RETIRED": 7}
BY_CODE = {
    "INVALID_ARGUMENT": 2,
    "OUT_OF_RANGE": 2,
    "UNAUTHENTICATED": 4,
    "PERMISSION_DENIED": 4,
    "RESOURCE_EXHAUSTED": 6,
    "NOT_FOUND": 7,
    "DEADLINE_EXCEEDED": 8,
    "UNAVAILABLE": 9,
    "CANCELLED": 130,
}


def exit_code(error: CelesteError) -> int:
    """Returns the exit code of an error; 1 for reasons and codes outside the tables."""
    return BY_REASON.get(error.reason) or BY_CODE.get(error.code, 1)
