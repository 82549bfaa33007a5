"""The list of rows."""

import collections

Row = collections.namedtuple("Row", "item name what must attack slow")
ROWS = []


def row(item, what, must, slow=0):
    """Adds a function of a place as an attack; what it returns, else `must`, is what happened.
    Rows of a larger `slow` are started first."""

    def add(attack):
        if any(known.name == attack.__name__ for known in ROWS):
            raise ValueError(f"two rows are called {attack.__name__}")
        ROWS.append(Row(item, attack.__name__, what, must, attack, slow))
        return attack

    return add
