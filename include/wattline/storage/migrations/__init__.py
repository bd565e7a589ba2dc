"""The versions of the MySQL schema, oldest first in `versions/`; a version, once released, is never edited."""
