"""Stand-in product services: they answer like LlamaCloud's, so that the public client works against them unchanged.

Owns: made-up parse, extract, classify, split, index and chat services, older and newer, one file per product; their own
price list and bills; their knobs for tests. Plays an independent vendor: it imports nothing of the gateway, and knows
accounts only by the identity headers of a call.
Does not own: anything a real deployment runs. It reads no document beyond counting its pages and quoting a few lines,
keeps everything in bounded memory, and forgets it at exit.
"""

from gateway.edges.demo.services.app import DEMO_CREDENTIAL, services_app
from gateway.edges.demo.services.behaviour import Behaviour
from gateway.edges.demo.services.sample_pdf import sample_pdf

__all__ = ["DEMO_CREDENTIAL", "Behaviour", "sample_pdf", "services_app"]
