"""Where events leave the gateway for somebody else's servers.

Owns the connection to addresses that accounts choose: which may be called, how long that may take, how much is read.
Does not own what is sent, to whom, how it is signed, or when it is tried again.
"""
