"""The one exception that a stage shows to its user without a traceback."""


class UserError(Exception):
    """A mistake that the user can mend: the message says what, where and what to do."""
