"""The login in the browser: a server for the page, and the page itself under ``static/``."""
