"""Programs for people. Nothing in the library imports them; the command line finds them by name."""
