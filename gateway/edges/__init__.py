"""Floor 4: the doors through which calls, people and the clock come in.

Owns: the proxy, the JSON API, the command line, background work, the demo.
Does not own: any rule about credits. A door translates, calls a flow, and translates back.
"""
