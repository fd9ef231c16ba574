"""The version of shoal, in this one place."""

VERSION = "0.1.0"
