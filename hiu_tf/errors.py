"""The one ancestor of errors that a user can mend; programs print them as a single line."""


class UserError(ValueError):
    """Something given to the program is wrong; the message says what, where and what to do."""
