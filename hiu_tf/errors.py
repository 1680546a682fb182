"""The base class of errors that a user can fix. Programs print them as one line."""


class UserError(ValueError):
    """An input of the program is wrong. The message says what is wrong, where, and what to do.

    Attributes:
      exit_code: exit code of a program that ends with this error.
    """

    exit_code = 1


class LostWorker(UserError):
    """Another worker of a training was lost. Running the same command again may succeed."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h
