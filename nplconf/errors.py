"""What stops a run, named by who must act. Every error carries the exit code that the command ends with.

Anything that concerns one mapping or one Pod only is data (`model.Skipped`, `model.Failure`), never an exception: one
bad Pod never keeps the others from being served.
"""


class NplconfError(Exception):
    """Base of all expected errors; its text is one line for the operator. Exit 1."""

    exit_code = 1


class BlockedError(NplconfError):
    """A limit forbids the command, and `--force` may allow it. Exit 4."""

    exit_code = 4


class UsageError(NplconfError):
    """The caller's command line is wrong. Exit 64."""

    exit_code = 64


class BadDataError(NplconfError):
    """A plan, policy or cluster file is wrong: its author acts. Exit 65."""

    exit_code = 65


class UnavailableError(NplconfError):
    """The API server, the hold daemon or iptables gives no answer: whoever runs it acts. Exit 69."""

    exit_code = 69


class BusyError(NplconfError):
    """Another run holds the lock: try again later. Exit 75."""

    exit_code = 75


class PermissionDeniedError(NplconfError):
    """The operating system or the API server refuses us: whoever grants rights acts. Exit 77."""

    exit_code = 77


class StoppedError(NplconfError):
    """Somebody asked the run to end, which is no failure of ours. Exit as the signal does, 128 + SIGTERM."""

    exit_code = 143


class BadConfigError(NplconfError):
    """The configuration is wrong: the administrator of the node acts. Exit 78."""

    exit_code = 78
