"""Names that everything else agrees on: the skeleton and the dictionary keys."""
