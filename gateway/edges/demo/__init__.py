"""The whole product on loopback, for someone who has just cloned it.

Owns: stand-in product services, made-up accounts and history, the greeting with its curl lines.
Does not own: anything a real deployment runs; no other module may import it but the command line.
"""
