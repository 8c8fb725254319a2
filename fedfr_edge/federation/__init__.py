"""Federated rounds through Flower: what travels, what stays with a client, who runs the rounds and where.

:mod:`.engine` runs everything in one process; :mod:`.server_app` and :mod:`.client_app` are the two
components that ``flwr run`` starts. Importing this package loads neither Flower nor torch.
"""
