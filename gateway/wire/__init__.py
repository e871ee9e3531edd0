"""Floor 1: what calls and answers look like as bytes and HTTP words.

Owns: API keys as text, header rules, problem documents, rate limit fields, routes,
meters that are shown a stream.
Does not own: sockets, frameworks, the clock. It is handed bytes and answers with values.
"""
