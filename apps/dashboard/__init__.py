"""Training runs as pages: live from a server, or as static files."""
