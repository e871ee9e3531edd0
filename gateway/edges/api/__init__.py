"""The door for programs that ask about usage and billing: JSON over HTTP.

Owns: its routes, who may ask what, its OpenAPI document.
Does not own: metered calls (proxy), or any number it shows (books, flows).
"""
