"""A federation on several machines: Flower's programs started, followed and stopped, and the files that a
deployment needs (reverse proxy, services). How to use them: docs/deploy.md."""
