"""The errors that end a run, one per person or service that must act. Each has the exit code of the command.

A fault of one mapping or one Pod is data (`model.Skipped`, `model.Failure`), never an exception: one bad Pod must not
stop the others.
"""


class NplconfError(Exception):
    """Base of all expected errors. Its text is one line for the operator. Exit 1."""

    exit_code = 1


class BlockedError(NplconfError):
    """A limit blocks the command; `--force` may allow it. Exit 4."""

    exit_code = 4


class UsageError(NplconfError):
    """The caller's command line is wrong. Exit 64."""

    exit_code = 64


class BadDataError(NplconfError):
    """A plan, policy or cluster file is wrong: its author must act. Exit 65."""

    exit_code = 65


class UnavailableError(NplconfError):
    """The API server, the hold daemon or iptables does not answer: its operator must act. Exit 69."""

    exit_code = 69


class BusyError(NplconfError):
    """Another run holds the lock: try again later. Exit 75."""

    exit_code = 75


class PermissionDeniedError(NplconfError):
    """The operating system or the API server denies access: an administrator must grant rights. Exit 77."""

    exit_code = 77


class StoppedError(NplconfError):
    """The run got a signal to stop, which is no fault. The exit code is that of the signal: 128 + SIGTERM."""

    exit_code = 143


class BadConfigError(NplconfError):
    """The configuration is wrong: the administrator of the node must act. Exit 78."""

    exit_code = 78
