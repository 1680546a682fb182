"""The one ancestor of errors that a user can mend; programs print them as a single line."""


class UserError(ValueError):
    """Something given to the program is wrong; the message says what, where and what to do.

    Attributes:
      exit_code: of a program that ends with it.
    """

    exit_code = 1


class LostWorker(UserError):
    """Another worker of a training is gone: the same command may well succeed when it is given again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h
