"""Credit Gateway: a reverse proxy that meters what document-AI services sell.

It authenticates a call, holds credits for it, forwards it, takes what it really cost, and books it once.
Importing a module of this package opens nothing and starts nothing; `gateway.stores` and `gateway.wiring` do, if asked.
"""

__version__ = "0.1.0"
